package notify

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Networks are those beside the public internet that may be sent to. People who may change a workspace choose addresses, and
// the server stands where they may not: so it sends to its own networks only where its operator says so.
type Networks []netip.Prefix

// special are networks that are not of the public internet and that netip has no word for: this network, shared addresses,
// protocol assignments, documentation, benchmarks, reserved; and of IPv6 what carries an IPv4 address within.
func special() []string {
	return []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10",
	}
}

// check refuses an address that is not public and in none of the networks.
func (n Networks) check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if contains(n, addr) {
		return nil
	}
	closed := !addr.IsGlobalUnicast() || addr.IsPrivate()
	for _, text := range special() {
		closed = closed || netip.MustParsePrefix(text).Contains(addr)
	}
	if closed {
		return fmt.Errorf("%s is no address of the public internet, and the operator of this server does not allow it (--notification-networks)", addr)
	}
	return nil
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// checkHost refuses a host that is such an address; a name is looked up only when something is sent.
func (n Networks) checkHost(host string) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil //nolint:nilerr // a name
	}
	return n.check(addr)
}

// control refuses to connect to such an address, whatever name led there. It is called with each address before it is dialed.
func (n Networks) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	return n.check(addr)
}
