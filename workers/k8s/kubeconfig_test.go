package k8s_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gantry.example/messages"
	"gantry.example/workers/k8s"
)

const kubeconfig = `
apiVersion: v1
kind: Config
current-context: prod
clusters:
- name: other
  cluster: {server: "http://insecure"}
- name: c1
  cluster: {server: "https://k8s.example:6443", tls-server-name: api}
users:
- name: u1
  user: {token: t0ken}
contexts:
- name: prod
  context: {cluster: c1, user: u1, namespace: iac}
- name: dev
  context: {cluster: other, user: u1}
`

func TestKubeconfig(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	got, err := k8s.ParseKubeconfig(strings.Replace(kubeconfig, "tls-server-name: api", "tls-server-name: api, certificate-authority-data: "+ca, 1), "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Server != "https://k8s.example:6443" || got.TLSServerName != "api" || got.Token != "t0ken" || len(got.CA) == 0 {
		t.Errorf("got %+v, want what the current context leads to", got)
	}
}

// TestKubeconfigRefusesWhatIsNotTheServers: the file is written by a user and used on the server.
func TestKubeconfigRefusesWhatIsNotTheServers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, context, field, says string }{
		{"{token: t0ken}", "{exec: {command: aws}}", "", "users[0].user.exec", "would run a program on the server"},
		{"{token: t0ken}", "{auth-provider: {name: gcp}}", "", "users[0].user.auth-provider", "would run a program"},
		{"{token: t0ken}", "{tokenFile: /etc/shadow}", "", "users[0].user.tokenFile", "would read a file of the server"},
		{"{token: t0ken}", "{client-certificate: /a, client-key: /b}", "", "users[0].user.client-certificate", "would read a file"},
		{"{token: t0ken}", "{token: t0ken, as: admin}", "", "users[0].user.as", "not supported"},
		{"{token: t0ken}", "{username: a, password: b}", "", "users[0].user.password", "use a token"},
		{"{token: t0ken}", "{}", "", "users[0].user", "neither a token"},
		{"{token: t0ken}", "{client-certificate-data: QUJD, client-key-data: QUJD}", "", "users[0].user.client-certificate-data", "does not fit"},
		{"tls-server-name: api", "certificate-authority: /etc/ca.pem", "", "clusters[1].cluster.certificate-authority", "would read a file"},
		{"tls-server-name: api", "insecure-skip-tls-verify: true", "", "clusters[1].cluster.insecure-skip-tls-verify", "certificate-authority-data"},
		{"tls-server-name: api", `proxy-url: "http://proxy"`, "", "clusters[1].cluster.proxy-url", "not supported"},
		{"tls-server-name: api", "certificate-authority-data: QUJD", "", "clusters[1].cluster.certificate-authority-data", "no certificate"},
		{"https://k8s", "https://me@k8s", "", "clusters[1].cluster.server", "https://HOST"},
		{"", "", "dev", "clusters[0].cluster.server", "https://HOST"},
		{"", "", "none", "contexts", `no context "none"`},
		{"cluster: c1,", "cluster: c2,", "", "clusters", `no cluster "c2"`},
		{"user: u1, namespace", "user: u2, namespace", "", "users", `no user "u2"`},
		{"kind: Config", "kind: Config\nkind: Config", "", "", "not the YAML"},
		{"kind: Config", "}{ t0ken", "", "", "not the YAML"},
	} {
		_, err := k8s.ParseKubeconfig(strings.Replace(kubeconfig, c.old, c.new, 1), c.context)
		var failure *messages.Failure
		field := strings.TrimSuffix("kubeconfig."+c.field, ".")
		switch {
		case !errors.As(err, &failure):
			t.Errorf("%s → %s: got %v, want a refusal of %s", c.old, c.new, err, field)
		case failure.Field != field || failure.Code != messages.CodeInvalid || !strings.Contains(failure.Message, c.says):
			t.Errorf("%s → %s: got %s: %s, want %s: …%s…", c.old, c.new, failure.Field, failure.Message, field, c.says)
		case strings.Contains(failure.Message, "t0ken"):
			t.Errorf("%s → %s: the refusal has the token in it", c.old, c.new)
		}
	}
}
