package broker

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"strings"
	"text/template"

	"gantry.example/messages"
)

//go:embed cluster.conf.tmpl
var clusterTemplate string

// Ports of a clustered server; each is on the server's own address.
const (
	ClusterClientPort  = 4222
	ClusterRoutePort   = 6222
	ClusterMonitorPort = 8222
	// ClusterWebSocketPort is where the API passes agents on to; see Gateway.
	ClusterWebSocketPort = 9222
)

// ClusterConfig describes the servers of a NATS cluster for Gantry.
type ClusterConfig struct {
	Servers     []string // host names or addresses by which clients and the other servers reach each
	Credentials Credentials
	RouteSecret string // lets a server into the cluster
	StoreDir    string // folder of the streams on every server; each uses a folder of its own name below it
}

// ServerConfig returns the configuration file of one of the servers. certs is the folder, on that server, of its cert.pem,
// key.pem and ca.pem. The file holds the route secret and no seed.
func (c ClusterConfig) ServerConfig(server, certs string) ([]byte, error) {
	for _, name := range append([]string{server}, c.Servers...) {
		if !validHost(name) {
			return nil, fmt.Errorf("NATS server %q: want a host name or an address", name)
		}
	}
	data := map[string]any{
		"Name": server, "Certs": certs, "Store": c.StoreDir, "Secret": c.RouteSecret, "Servers": c.Servers, "Timeout": calloutTimeout.Seconds(),
		"ClientPort": ClusterClientPort, "RoutePort": ClusterRoutePort, "MonitorPort": ClusterMonitorPort, "WebSocketPort": ClusterWebSocketPort,
		"App": appAccount, "AuthAccount": authAccount, "System": systemAccount,
		"Host": "0.0.0.0", "MonitorHost": "127.0.0.1",
	}
	if ip := net.ParseIP(server); ip != nil { // a name may mean another address inside than outside; an address is meant
		data["Host"] = server
		if ip.IsLoopback() {
			data["MonitorHost"] = server
		}
	}
	for name, seed := range map[string]string{"Services": c.Credentials.Services, "Auth": c.Credentials.Auth, "Issuer": c.Credentials.Issuer, "SystemUser": c.Credentials.System} {
		key, err := public(seed)
		if err != nil {
			return nil, err
		}
		data[name] = key
	}
	t, err := template.New("nats.conf").Parse(clusterTemplate)
	if err != nil {
		return nil, fmt.Errorf("nats: template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("nats: configuration of %s: %w", server, err)
	}
	return out.Bytes(), nil
}

// validHost keeps anything out of the configuration that could end a string in it.
func validHost(name string) bool {
	return messages.ValidName(strings.NewReplacer(".", "-", ":", "-").Replace(name)) && len(name) > 0
}
