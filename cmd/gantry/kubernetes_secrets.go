package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"gantry.example/internal/bus/broker"
	"gantry.example/internal/pki"
	"gantry.example/internal/secrets"
	"gantry.example/services/postgres"
)

// Where the chart mounts what a NATS server needs, and keeps its streams.
const (
	podCerts = "/etc/nats"
	podStore = "/data"
)

// podServers is how many NATS servers the chart starts.
const podServers = 3

func kubernetesSecretsCommand() *cobra.Command {
	var k kubernetesSecrets
	cmd := &cobra.Command{
		Use:   "kubernetes-secrets --dir DIR",
		Short: "Write the Secrets that the Helm chart needs",
		Long: `Write the Secrets that the Helm chart needs, as manifests for kubectl apply -f -: keys, tokens and certificates.

  NAME-nats       configuration and certificate of each NATS server
  NAME-api        of the API: what lets clients into NATS, its certificate, the tokens of the administrator and of workers
  NAME-services   of all that decides: the encryption key, credentials for NATS
  NAME-workers    of workers: their token, and ca.pem, nothing secret

Everything is kept in DIR, the keys that sign in DIR/authority: keep it apart, and keep it, because without DIR/control/encryption-key
nothing stored can be read. What is there is not made again but for certificates, which end in 13 months: do it again before.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return k.print(cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&k.dir, "dir", "", "folder to keep keys and certificates in, made if missing")
	cmd.Flags().StringVar(&k.name, "name", "gantry", "name of the Helm release")
	cmd.Flags().StringVar(&k.namespace, "namespace", "gantry", "namespace of the Helm release")
	cmd.Flags().StringSliceVar(&k.api, "api", nil, "more host names of the API, for its certificate: that of publicURL")
	cmd.Flags().StringVar(&k.ca, "ca-file", "", "PEM file of more authorities that workers are to trust: that of a certificate of your own (api.tlsSecret)")
	return cmd
}

// kubernetesSecrets is what the command was asked for.
type kubernetesSecrets struct {
	dir, name, namespace string
	api                  []string
	ca                   string
}

// server is what the chart calls a NATS server's Pod, and host how the others and the clients reach it.
func (k kubernetesSecrets) server(n int) string { return fmt.Sprintf("%s-nats-%d", k.name, n) }

func (k kubernetesSecrets) host(n int) string {
	return fmt.Sprintf("%s.%s-nats.%s.svc", k.server(n), k.name, k.namespace)
}

// files is what gantry admin nats-config would write for the same servers.
func (k kubernetesSecrets) files() natsFiles {
	api := k.name + "-api"
	f := natsFiles{dir: k.dir, store: podStore, api: append([]string{api, api + "." + k.namespace, api + "." + k.namespace + ".svc"}, k.api...)}
	for n := range podServers {
		f.servers = append(f.servers, k.host(n))
	}
	return f
}

func (k kubernetesSecrets) print(out io.Writer) error {
	name := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)
	switch {
	case k.dir == "":
		return errors.New("--dir is required: where keys and certificates are kept")
	case !name.MatchString(k.name):
		return fmt.Errorf("--name %q: want the name of a Helm release, 40 letters at most", k.name)
	case !name.MatchString(k.namespace):
		return fmt.Errorf("--namespace %q: want the name of a namespace", k.namespace)
	}
	if err := k.files().write(); err != nil {
		return err
	}
	if err := k.makeKeys(); err != nil {
		return err
	}
	items, err := k.items()
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}

// makeKeys makes what an API alone would make at its first start.
func (k kubernetesSecrets) makeKeys() error {
	key := k.path(controlDir, keyFile)
	if _, err := secrets.OpenKeyring(key); errors.Is(err, os.ErrNotExist) {
		if _, err := secrets.CreateKeyring(key); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	for path, prefix := range map[string]string{k.path(controlDir, adminTokenFile): postgres.PrefixAdmin, k.path(workersDir, poolTokenFile): postgres.PrefixPool} {
		if _, err := readToken(path); errors.Is(err, os.ErrNotExist) {
			err = secrets.WriteFile0600(path, []byte(secrets.NewToken(prefix)+"\n"))
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (k kubernetesSecrets) path(elem ...string) string {
	return filepath.Join(append([]string{k.dir}, elem...)...)
}

// items are the Secrets.
func (k kubernetesSecrets) items() ([]any, error) {
	nats, err := k.nats()
	if err != nil {
		return nil, err
	}
	out := []any{k.secret("nats", nats)}
	for _, s := range []struct {
		name  string
		files map[string]string // key of the Secret → file
	}{
		{"api", map[string]string{
			apiCredentials: k.path(controlDir, apiCredentials), "tls.crt": k.path(controlDir, certFile), "tls.key": k.path(controlDir, certKeyFile),
			adminTokenFile: k.path(controlDir, adminTokenFile), poolTokenFile: k.path(workersDir, poolTokenFile),
		}},
		{"services", map[string]string{servicesCredentials: k.path(controlDir, servicesCredentials), keyFile: k.path(controlDir, keyFile)}},
		{"workers", map[string]string{pki.CAFile: k.path(workersDir, pki.CAFile), poolTokenFile: k.path(workersDir, poolTokenFile)}},
	} {
		data := map[string][]byte{}
		for key, path := range s.files {
			if data[key], err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
		if s.name == "workers" && k.ca != "" {
			more, err := os.ReadFile(k.ca)
			if err != nil {
				return nil, fmt.Errorf("--ca-file: %w", err)
			}
			data[pki.CAFile] = append(append(data[pki.CAFile], '\n'), more...)
		}
		out = append(out, k.secret(s.name, data))
	}
	return out, nil
}

// nats is the content of the Secret of the NATS servers: their configurations are made anew for where Pods have them.
func (k kubernetesSecrets) nats() (map[string][]byte, error) {
	f := k.files()
	creds, err := f.credentials()
	if err != nil {
		return nil, err
	}
	route, err := f.routeSecret()
	if err != nil {
		return nil, err
	}
	cluster := broker.ClusterConfig{Servers: f.servers, Credentials: creds, RouteSecret: route, StoreDir: podStore}
	data := map[string][]byte{}
	for n := range podServers {
		if data[k.server(n)+".conf"], err = cluster.ServerConfig(k.host(n), podCerts+"/"+k.server(n)); err != nil {
			return nil, err
		}
		for key, file := range map[string]string{k.server(n) + "." + certFile: certFile, k.server(n) + "." + certKeyFile: certKeyFile, pki.CAFile: pki.CAFile} {
			if data[key], err = os.ReadFile(k.path(serversDir, k.host(n), file)); err != nil {
				return nil, err
			}
		}
	}
	return data, nil
}

func (k kubernetesSecrets) secret(name string, data map[string][]byte) any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
		"metadata": map[string]any{
			"name": k.name + "-" + name, "namespace": k.namespace,
			"labels": map[string]string{"app.kubernetes.io/name": "gantry", "app.kubernetes.io/instance": k.name},
		},
	}
}
