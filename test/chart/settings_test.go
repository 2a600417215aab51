package chart_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gantry.example/internal/bus/broker"
	"gantry.example/internal/secrets"
)

// program is a built program, which lies beside $GANTRY_BIN.
func program(t *testing.T, name string) string {
	t.Helper()
	gantry := os.Getenv("GANTRY_BIN")
	if gantry == "" {
		t.Fatal("GANTRY_BIN is not set: use make e2e, or make build and GANTRY_BIN=$PWD/bin/gantry")
	}
	return filepath.Join(filepath.Dir(gantry), name)
}

// secretsOf runs gantry admin kubernetes-secrets twice, and returns its Secrets: key → content, by name.
func secretsOf(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	read := func() map[string]map[string][]byte {
		cmd := exec.CommandContext(t.Context(), program(t, "gantry"), "admin", "kubernetes-secrets", "--dir", dir, "--name", release, "--namespace", namespace,
			"--api", "gantry.example.com")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gantry admin kubernetes-secrets: %v", err)
		}
		var list struct{ Items []object }
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatal(err)
		}
		all := map[string]map[string][]byte{}
		for _, o := range list.Items {
			files := map[string][]byte{}
			for key, text := range o.at("data").(map[string]any) {
				if files[key], err = base64.StdEncoding.DecodeString(text.(string)); err != nil {
					t.Fatal(err)
				}
			}
			all[o.text("metadata", "name")] = files
		}
		return all
	}
	first, second := read(), read()
	for _, kept := range [][2]string{
		{"gantry-services", "encryption-key"}, {"gantry-services", "services.json"}, {"gantry-api", "api.json"}, {"gantry-api", "admin-token"},
		{"gantry-workers", "worker-token"}, {"gantry-workers", "ca.pem"}, {"gantry-nats", "gantry-nats-0.conf"},
	} {
		if got := second[kept[0]][kept[1]]; len(got) == 0 || !bytes.Equal(first[kept[0]][kept[1]], got) {
			t.Errorf("%s of the Secret %s: got %d bytes that are other ones the second time, want the same", kept[1], kept[0], len(got))
		}
	}
	return second
}

// mount lays the Secrets of a Pod's container out below dir, as a kubelet does.
func mount(t *testing.T, dir string, pod, container object, all map[string]map[string][]byte) {
	t.Helper()
	volumes := map[string]object{}
	for _, v := range pod.list("spec", "volumes") {
		volumes[v.text("name")] = v
	}
	for _, m := range container.list("volumeMounts") {
		to := filepath.Join(dir, m.text("mountPath"))
		if err := os.MkdirAll(to, 0o700); err != nil {
			t.Fatal(err)
		}
		secret := object{}
		if s, ok := volumes[m.text("name")].at("secret").(map[string]any); ok {
			secret = s
		}
		files := all[secret.text("secretName")]
		var paths [][2]string // of a key, and where it goes: to several places, maybe
		for key := range files {
			paths = append(paths, [2]string{key, key})
		}
		if items := secret.list("items"); items != nil {
			paths = nil
			for _, i := range items {
				if _, known := files[i.text("key")]; files != nil && !known {
					t.Errorf("%s: the Secret %s has no key %s", pod, secret.text("secretName"), i.text("key"))
				}
				paths = append(paths, [2]string{i.text("key"), i.text("path")})
			}
		}
		for _, p := range paths {
			file := filepath.Join(to, p[1])
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, files[p[0]], 0o640); err != nil { //nolint:gosec // as a kubelet does it
				t.Fatal(err)
			}
		}
	}
}

func (o object) list(keys ...string) []object {
	items, _ := o.at(keys...).([]any)
	var out []object
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func (o object) texts(keys ...string) []string {
	items, _ := o.at(keys...).([]any)
	var out []string
	for _, i := range items {
		s, _ := i.(string)
		out = append(out, s)
	}
	return out
}

// settings: each program takes its arguments and variables, finds the files they name, and is stopped by the first thing that is not here.
func (c chart) settings(t *testing.T) {
	all := secretsOf(t)
	for _, variant := range variants() {
		for _, workload := range c.rendered(t, variant) {
			pod := podOf(workload)
			if pod == nil {
				continue
			}
			for _, container := range pod.list("spec", "containers") {
				if strings.Contains(container.text("image"), "nats:") {
					continue // see certificates
				}
				t.Run(variant+"/"+pod.text("metadata", "name"), func(t *testing.T) {
					t.Parallel()
					started(t, pod, container, all)
				})
			}
		}
	}
}

// started runs the init containers of a Pod, and its container as far as it comes without a folder for its data.
func started(t *testing.T, pod, container object, all map[string]map[string][]byte) {
	dir := t.TempDir()
	moved := strings.NewReplacer("/etc/gantry", dir+"/etc/gantry", "/var/lib/gantry", "/dev/null").Replace
	for _, in := range pod.list("spec", "initContainers") {
		mount(t, dir, pod, in, all)
		argv := in.texts("command")
		for i := range argv {
			argv[i] = moved(argv[i])
		}
		if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("init container %s: %v\n%s", in.text("name"), err, out)
		}
	}
	mount(t, dir, pod, container, all)
	name, stop := "gantry", "data folder: --data-dir"
	switch image := container.text("image"); {
	case strings.Contains(image, "gantry-agent"):
		name, stop = "gantry-agent", "--data-dir: "
	case strings.Contains(image, "gantry-dispatcher"):
		name, stop = "gantry-dispatcher", "--token-file: " // which is taken away: with one it would look for the server
	}
	cmd := exec.CommandContext(t.Context(), program(t, name), container.texts("args")...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	for _, e := range container.list("env") {
		value := moved(e.text("value"))
		switch {
		case e.at("valueFrom", "secretKeyRef") != nil:
			value = "postgres://gantry@127.0.0.1:1/gantry"
		case e.at("valueFrom", "fieldRef") != nil:
			value = pod.text("metadata", "name")
		}
		cmd.Env = append(cmd.Env, e.text("name")+"="+value)
		path, ours := strings.CutPrefix(e.text("value"), "/etc/gantry/")
		if _, err := os.Stat(filepath.Join(dir, "etc/gantry", path)); ours && err != nil {
			t.Errorf("%s: %v", e.text("name"), err)
		}
	}
	if name == "gantry-dispatcher" {
		if err := os.Remove(filepath.Join(dir, "etc/gantry/token/token")); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), stop) {
		t.Errorf("got %v and\n%s\nwant every setting taken", err, out)
	}
	keys := filepath.Join(dir, "etc", "gantry", "keys")
	if _, err := secrets.OpenKeyring(filepath.Join(keys, "encryption-key")); container.text("name") == "api" && err != nil {
		t.Error(err)
	}
	if _, err := broker.ReadCredentials(filepath.Join(keys, "api.json")); container.text("name") == "api" && err != nil {
		t.Error(err)
	}
}

// certificates: NATS servers find the files that their configurations name, and all certificates are for the names that others use.
func (c chart) certificates(t *testing.T) {
	all := secretsOf(t)
	var nats, api object
	for _, o := range c.rendered(t, "minimal") {
		switch o.String() {
		case "StatefulSet gantry-nats":
			nats = podOf(o)
		case "Deployment gantry-api":
			api = podOf(o)
		}
	}
	dir := t.TempDir()
	mount(t, dir, nats, nats.list("spec", "containers")[0], all)
	confs, err := filepath.Glob(filepath.Join(dir, "etc/nats/*/nats.conf"))
	if err != nil || len(confs) != 3 {
		t.Fatalf("got configurations %v, %v, want three", confs, err)
	}
	for _, conf := range confs {
		text, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "sync_interval: always") {
			t.Errorf("%s does not say sync_interval: always", conf)
		}
		for _, m := range regexp.MustCompile(`_file: "([^"]+)"`).FindAllSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(dir, string(m[1]))); err != nil {
				t.Errorf("%s: %v", conf, err)
			}
		}
	}
	ca := x509.NewCertPool()
	ca.AppendCertsFromPEM(all["gantry-workers"]["ca.pem"])
	for _, v := range env(api, "GANTRY_NATS_URL") {
		host, _, _ := strings.Cut(strings.TrimPrefix(v, "tls://"), ":")
		name, _, _ := strings.Cut(host, ".")
		verify(t, all["gantry-nats"][name+".cert.pem"], ca, host)
	}
	for _, host := range []string{"gantry-api.gantry-system.svc", "gantry.example.com"} {
		verify(t, all["gantry-api"]["tls.crt"], ca, host)
	}
}

func env(pod object, name string) []string {
	for _, e := range pod.list("spec", "containers")[0].list("env") {
		if e.text("name") == name {
			return strings.Split(e.text("value"), ",")
		}
	}
	return nil
}

func verify(t *testing.T, chain []byte, ca *x509.CertPool, host string) {
	t.Helper()
	block, _ := pem.Decode(chain)
	if block == nil {
		t.Errorf("%s has no certificate", host)
		return
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: ca}); err != nil {
		t.Error(err)
	}
}
