package broker_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"gantry.example/internal/bus/broker"
	"gantry.example/internal/pki"
)

func newCredentials(t *testing.T) broker.Credentials {
	t.Helper()
	c, err := broker.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClusterConfigIsWhatNATSReads(t *testing.T) {
	t.Parallel()
	dir, creds := t.TempDir(), newCredentials(t)
	authority, err := pki.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := authority.Issue("nats-1")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), chain)
	write(t, filepath.Join(dir, "key.pem"), key)
	cluster := broker.ClusterConfig{Servers: []string{"nats-1", "nats-2", "10.1.2.3"}, Credentials: creds, RouteSecret: "hush", StoreDir: "/var/lib/nats"}
	conf, err := cluster.ServerConfig("nats-1", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{creds.Services, creds.Auth, creds.Issuer, creds.System} {
		if strings.Contains(string(conf), secret) {
			t.Errorf("got a seed in\n%s\nwant public keys only", conf)
		}
	}
	write(t, filepath.Join(dir, "nats.conf"), conf)
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatalf("%v\n%s", err, conf)
	}
	var routes []string
	for _, r := range opts.Routes {
		routes = append(routes, r.Host)
	}
	if diff := cmp.Diff([]string{"nats-2:6222", "10.1.2.3:6222"}, routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if !opts.SyncAlways || opts.TLSConfig == nil || opts.Cluster.TLSConfig == nil || opts.AuthCallout == nil || len(opts.AuthCallout.AuthUsers) != 3 || len(opts.Nkeys) != 3 {
		t.Errorf("got %+v, want TLS everywhere, a callout with its three users, and every write synced", opts)
	}
	if _, err := cluster.ServerConfig(`x" }`, dir); err == nil {
		t.Error("got a configuration for a server whose name ends the string it is in")
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialsFiles(t *testing.T) {
	t.Parallel()
	creds := newCredentials(t)
	path := filepath.Join(t.TempDir(), "api.json")
	store := func(c broker.Credentials) {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, b)
	}
	store(creds)
	if got, err := broker.ReadCredentials(path); err != nil || got != creds || !got.Admits() {
		t.Errorf("got %v and an error of %v, want what was written", got == creds, err)
	}
	store(creds.WithoutAdmission())
	if got, err := broker.ReadCredentials(path); err != nil || got.Admits() {
		t.Errorf("got %v, want credentials that admit nobody", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.ReadCredentials(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v of a file that others can read, want a refusal", err)
	}
	store(broker.Credentials{Services: creds.Issuer})
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.ReadCredentials(path); err == nil || strings.Contains(err.Error(), creds.Issuer) {
		t.Errorf("got %v of an account's seed for a user, want a refusal that does not quote it", err)
	}
}
