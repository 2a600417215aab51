package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gantry.example/internal/bus/broker"
	"gantry.example/test/loopback"
)

const (
	natsServers  = 3
	splitWorkers = 2
	splitAPIs    = 2
)

// describeSplit is every part as processes of their own: three NATS servers, two APIs, two workers. Whatever a worker says to
// the others passes through its link, which can be cut.
func (in *installation) describeSplit(ctx context.Context) error {
	if err := in.describeCluster(ctx); err != nil {
		return err
	}
	var apis []string
	for n := range splitAPIs {
		address, err := loopback.Free(ctx)
		if err != nil {
			return err
		}
		apis = append(apis, address)
		in.addService(roleAPI, "api", "api.json", fmt.Sprint("api", n), "--http", address)
	}
	in.apis = apis
	front, err := newLink(ctx, apis)
	if err != nil {
		return err
	}
	in.links, in.api = append(in.links, front), front.addresses[0]
	in.addService(roleRelay, "relay", "services.json", "relay", "--http", "")
	in.addService(roleProjector, "projector", "services.json", "projector", "--http", "")
	in.addService(roleHouse, "logs,observer,intake,reconciler,keeper", "services.json", "house", "--http", "")
	for n := range splitWorkers {
		if err := in.addWorker(ctx, n, apis); err != nil {
			return err
		}
	}
	return nil
}

func (in *installation) addService(r role, roles, credentials, dir string, more ...string) {
	args := append(in.databaseArgs(), "--roles", roles, "--nats-url", in.natsURL, "--ca-file", in.path("cluster", "control", "ca.pem"),
		"--nats-credentials-file", in.path("cluster", "control", credentials))
	if r == roleAPI {
		args = append(args, "--public-url", "http://127.0.0.1", "--nats-websocket-url", webSocketURLs(in.nats))
	}
	in.add(r, in.serverArgs(in.path(dir), append(args, more...)...)...)
}

func (in *installation) addWorker(ctx context.Context, n int, apis []string) error {
	targets := [][]string{apis}
	for _, address := range in.nats {
		targets = append(targets, []string{address})
	}
	l, err := newLink(ctx, targets...)
	if err != nil {
		return err
	}
	in.links = append(in.links, l)
	name := fmt.Sprintf("worker%d", n)
	args := []string{
		"--roles", "worker", "--http", "", "--address", "http://" + l.addresses[0], "--nats-url", tlsURLs(l.addresses[1:]),
		"--ca-file", in.path("cluster", "workers", "ca.pem"), "--worker-name", name, "--concurrency", "3",
	}
	if os.Geteuid() == 0 { // on one machine each needs user ids that the other does not give out
		first := 2_050_000_000 + 1000*n
		args = append(args, "--run-as", fmt.Sprintf("%d-%d", first, first+999))
	}
	in.hosts = append(in.hosts, host{worker: in.add(roleWorker, in.serverArgs(in.path(name), args...)...), dir: in.path(name), link: l})
	if n == 0 {
		in.work = in.path(name, "work")
	}
	return nil
}

func tlsURLs(addresses []string) string { return "tls://" + strings.Join(addresses, ",tls://") }

// webSocketURLs are where the servers at the addresses take agents, passed on by the API.
func webSocketURLs(addresses []string) string {
	urls := make([]string, len(addresses))
	for i, address := range addresses {
		ip, _, _ := strings.Cut(address, ":")
		urls[i] = fmt.Sprintf("wss://%s:%d", ip, broker.ClusterWebSocketPort)
	}
	return strings.Join(urls, ",")
}

// describeCluster writes the cluster's configuration. Its servers do not tell clients of each other: who goes through a link
// must not find a way around it.
func (in *installation) describeCluster(ctx context.Context) error {
	net := fmt.Sprintf("127.%d.%d", 2+rand.N(250), rand.N(250)) // that nobody else uses: the ports are the usual ones
	args := []string{"admin", "nats-config", "--dir", in.path("cluster"), "--store-dir", in.path("nats")}
	for n := range natsServers {
		ip := fmt.Sprintf("%s.%d", net, n+1)
		in.nats = append(in.nats, ip+":4222")
		args = append(args, "--server", ip)
	}
	in.natsURL = tlsURLs(in.nats)
	if out, err := exec.CommandContext(ctx, in.bin, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("gantry admin nats-config: %w: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := filepath.Join(filepath.Dir(self), "nats-server") // built with this program
	for _, address := range in.nats {
		ip, _, _ := strings.Cut(address, ":")
		conf := in.path("cluster", "servers", ip, "nats.conf")
		text, err := os.ReadFile(conf)
		if err != nil {
			return err
		}
		quiet := strings.Replace(string(text), "\ncluster {\n", "\ncluster {\n  no_advertise: true\n", 1)
		if err := os.WriteFile(conf, []byte(quiet), 0o600); err != nil {
			return err
		}
		in.add(roleNATS, server, "-c", conf)
	}
	return nil
}

// leader is the process that leads the stream, or nil if none does for the moment.
func (in *installation) leader(ctx context.Context, stream string) *program {
	for _, address := range in.nats {
		ip, _, _ := strings.Cut(address, ":")
		name := askLeader(ctx, "http://"+ip+":8222/jsz?accounts=true&streams=true", stream)
		for i, p := range in.parts[roleNATS] {
			if name != "" && strings.HasPrefix(in.nats[i], name+":") {
				return p
			}
		}
	}
	return nil
}

func askLeader(ctx context.Context, url, stream string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var doc struct {
		Accounts []struct {
			Streams []struct {
				Name    string `json:"name"`
				Cluster struct {
					Leader string `json:"leader"`
				} `json:"cluster"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	_ = json.NewDecoder(res.Body).Decode(&doc) // an empty document has no leader
	for _, a := range doc.Accounts {
		for _, s := range a.Streams {
			if s.Name == stream {
				return filepath.Base(s.Cluster.Leader)
			}
		}
	}
	return ""
}
