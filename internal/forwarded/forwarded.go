// Package forwarded finds out for whom a reverse proxy asks.
package forwarded

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the addresses of those whose word counts.
type Proxies []netip.Prefix

// Parse reads addresses (10.0.0.7) and networks (10.0.0.0/8).
func Parse(list []string) (Proxies, error) {
	var out Proxies
	for _, text := range list {
		if addr, err := netip.ParseAddr(text); err == nil {
			addr = addr.Unmap()
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address (10.0.0.7) nor a network (10.0.0.0/8)", text)
		}
		out = append(out, network.Masked())
	}
	return out, nil
}

func (p Proxies) contains(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// Handler gives next requests whose RemoteAddr is the client's, also where a proxy made them. A client can write anything into
// X-Forwarded-For, and each proxy adds at the end who asked it: so the header counts from its end, and only as far as it was
// written by proxies of the list. Requests from anybody else are left as they are.
func (p Proxies) Handler(next http.Handler) http.Handler {
	if len(p) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := p.client(r); ok {
			other := *r
			other.RemoteAddr = net.JoinHostPort(client.String(), "0") // its port is not told
			r = &other
		}
		next.ServeHTTP(w, r)
	})
}

// client is the first address from the end that is no proxy of the list, or the furthest proxy where there is no other.
func (p Proxies) client(r *http.Request) (client netip.Addr, ok bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.contains(from.Addr().Unmap()) {
		return client, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, known := parseHop(strings.TrimSpace(hops[i]))
		if !known {
			break // nobody who is trusted writes this, so all before it is not worth more
		}
		client, ok = addr, true
		if !p.contains(addr) {
			break
		}
	}
	return client, ok
}

// parseHop reads an address, which some proxies write with a port.
func parseHop(text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	with, err := netip.ParseAddrPort(text)
	return with.Addr().Unmap().WithZone(""), err == nil
}
