package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"gantry.example/internal/bus/broker"
	"gantry.example/internal/pki"
	"gantry.example/internal/secrets"
)

// Folders and files of natsFiles, below its folder.
const (
	authorityDir = "authority" // what signs; stays here
	serversDir   = "servers"   // one folder for each NATS server, to be put there
	controlDir   = "control"   // for gantry server without worker
	workersDir   = "workers"   // for workers: nothing secret

	apiCredentials      = "api.json"
	servicesCredentials = "services.json"
	routeSecretFile     = "route-secret"
	certFile            = "cert.pem"
	certKeyFile         = "key.pem"
)

func natsConfigCommand() *cobra.Command {
	var f natsFiles
	cmd := &cobra.Command{
		Use:   "nats-config --dir DIR --server NAME --server NAME --server NAME",
		Short: "Write the configuration of a NATS cluster for Gantry",
		Long: `Write the configuration of a NATS cluster for Gantry: keys, certificates and one configuration file for each server.

  DIR/servers/NAME   for that NATS server, at the same path: nats-server -c DIR/servers/NAME/nats.conf
  DIR/control        for the processes of gantry server: --nats-credentials-file (api.json with the api role, else
                     services.json), --ca-file ca.pem, and with --api the certificate for --tls-cert and --tls-key
  DIR/workers        for workers: --ca-file ca.pem
  DIR/authority      the keys behind it; keep them apart, no process needs them

Keys that exist are kept, certificates are made anew each time: do it again before they end, in 13 months.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.write(); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote the configuration of %d NATS servers to %s\n", len(f.servers), f.dir)
			return err
		},
	}
	cmd.Flags().StringVar(&f.dir, "dir", "", "folder to write to, made if missing")
	cmd.Flags().StringSliceVar(&f.servers, "server", nil, "host name or address of a NATS server, as clients and the other servers reach it; three of them")
	cmd.Flags().StringSliceVar(&f.api, "api", nil, "host name of the API, for which a certificate is made too")
	cmd.Flags().StringVar(&f.store, "store-dir", "/var/lib/nats", "folder of the streams on the NATS servers")
	return cmd
}

// natsFiles is what the command was asked for.
type natsFiles struct {
	dir     string
	servers []string
	api     []string
	store   string
}

func (f natsFiles) write() error {
	if f.dir == "" || len(f.servers) == 0 {
		return errors.New("--dir and --server are required: where to write, and how each NATS server is reached")
	}
	if len(f.servers)%2 == 0 {
		return fmt.Errorf("--server: got %d servers, want an odd number: a majority of them has to agree on every write", len(f.servers))
	}
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return err
	}
	f.dir = dir
	for _, name := range []string{authorityDir, serversDir, controlDir, workersDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	authority, err := pki.Open(filepath.Join(dir, authorityDir), nil)
	if err != nil {
		return err
	}
	creds, err := f.credentials()
	if err != nil {
		return err
	}
	if err := f.writeServers(authority, creds); err != nil {
		return err
	}
	if err := f.writeCA(workersDir); err != nil {
		return err
	}
	if err := f.writeCA(controlDir); err != nil || len(f.api) == 0 {
		return err
	}
	return f.certificate(authority, filepath.Join(dir, controlDir), f.api...)
}

// credentials reads those of an earlier time, or makes them.
func (f natsFiles) credentials() (broker.Credentials, error) {
	path := filepath.Join(f.dir, controlDir, apiCredentials)
	made, err := broker.NewCredentials()
	if err != nil {
		return made, err
	}
	creds, err := broker.ReadCredentials(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		creds = made
	case err != nil || creds.System != "":
		return creds, err
	default:
		creds.System = made.System // those of before had none
	}
	if err := writeJSON(filepath.Join(f.dir, controlDir, servicesCredentials), creds.WithoutAdmission()); err != nil {
		return creds, err
	}
	return creds, writeJSON(path, creds)
}

func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return secrets.WriteFile0600(path, append(b, '\n'))
}

func (f natsFiles) writeServers(authority *pki.Authority, creds broker.Credentials) error {
	secret, err := f.routeSecret()
	if err != nil {
		return err
	}
	cluster := broker.ClusterConfig{Servers: f.servers, Credentials: creds, RouteSecret: secret, StoreDir: f.store}
	for _, server := range f.servers {
		dir := filepath.Join(f.dir, serversDir, server)
		conf, err := cluster.ServerConfig(server, dir)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		err = errors.Join(
			secrets.WriteFile0600(filepath.Join(dir, "nats.conf"), conf),
			f.certificate(authority, dir, server, "localhost", "127.0.0.1"), f.writeCA(filepath.Join(serversDir, server)),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func (f natsFiles) routeSecret() (string, error) {
	path := filepath.Join(f.dir, authorityDir, routeSecretFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		b = []byte(rand.Text())
		err = secrets.WriteFile0600(path, b)
	}
	return string(b), err
}

func (f natsFiles) writeCA(to string) error {
	b, err := os.ReadFile(filepath.Join(f.dir, authorityDir, pki.CAFile))
	if err != nil {
		return err
	}
	return secrets.WriteFile0600(filepath.Join(f.dir, to, pki.CAFile), b)
}

func (f natsFiles) certificate(authority *pki.Authority, dir string, hosts ...string) error {
	chain, key, err := authority.Issue(hosts...)
	if err != nil {
		return err
	}
	return errors.Join(secrets.WriteFile0600(filepath.Join(dir, certKeyFile), key), secrets.WriteFile0600(filepath.Join(dir, certFile), chain))
}
