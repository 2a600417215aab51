package k8s

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"sigs.k8s.io/yaml"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// kubeconfig is as much of such a file as we look at. What a cluster and a user have is judged key by key.
type kubeconfig struct {
	Current  string `json:"current-context"`
	Clusters []struct {
		Name    string         `json:"name"`
		Cluster map[string]any `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string         `json:"name"`
		User map[string]any `json:"user"`
	} `json:"users"`
	Contexts []kubeContext `json:"contexts"`
}

type kubeContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// Words for what is refused: it would not mean on the server what it means where the file was made.
const (
	runsHere   = "would run a program on the server: use a token of a ServiceAccount of the cluster instead, as gantry's documentation of k8s configs shows"
	readsHere  = "would read a file of the server: put the content into the kubeconfig (kubectl config view --flatten --minify)"
	notSecure  = "would let anybody between the server and the cluster read and change everything: give certificate-authority-data instead"
	notTaken   = "is not supported here"
	noPassword = "is not taken by Kubernetes any more: use a token or a client certificate"
)

func refusedClusterKeys() map[string]string {
	return map[string]string{"certificate-authority": readsHere, "insecure-skip-tls-verify": notSecure, "proxy-url": notTaken}
}

func refusedUserKeys() map[string]string {
	return map[string]string{
		"exec": runsHere, "auth-provider": runsHere, "tokenFile": readsHere, "client-certificate": readsHere, "client-key": readsHere,
		"username": noPassword, "password": noPassword, "as": notTaken, "as-uid": notTaken, "as-groups": notTaken, "as-user-extra": notTaken,
	}
}

// badKubeconfig is a refusal that names the field.
func badKubeconfig(at, format string, args ...any) error {
	field := "kubeconfig"
	if at != "" {
		field += "." + at
	}
	return &messages.Failure{Code: messages.CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// ParseKubeconfig takes out of a kubeconfig what leads to the cluster of a context, the current one if none is named. What would run
// a program or read a file where it is used is refused with its path, as is what is not secure: the file comes from somebody else.
// Errors are *messages.Failure.
func ParseKubeconfig(text, contextName string) (wire.Cluster, error) {
	var out wire.Cluster
	var k kubeconfig
	b, err := yaml.YAMLToJSONStrict([]byte(text))
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil { // the reason may quote what it read, which may be a secret
		return out, badKubeconfig("", "this is not the YAML or JSON of a kubeconfig")
	}
	if contextName == "" {
		contextName = k.Current
	}
	c := slices.IndexFunc(k.Contexts, func(c kubeContext) bool { return c.Name == contextName })
	if c < 0 {
		return out, badKubeconfig("contexts", "has no context %q", contextName)
	}
	at := k.Contexts[c].Context
	for i, one := range k.Clusters {
		if one.Name == at.Cluster {
			if err := takeCluster(&out, one.Cluster, fmt.Sprintf("clusters[%d].cluster", i)); err != nil {
				return out, err
			}
		}
	}
	if out.Server == "" {
		return out, badKubeconfig("clusters", "has no cluster %q, which context %q names", at.Cluster, contextName)
	}
	for i, one := range k.Users {
		if one.Name == at.User {
			return out, takeUser(&out, one.User, fmt.Sprintf("users[%d].user", i))
		}
	}
	return out, badKubeconfig("users", "has no user %q, which context %q names", at.User, contextName)
}

// reader takes values out of a map, refuses what is refused, and remembers the first problem.
type reader struct {
	at   string
	from map[string]any
	err  error
}

func (r *reader) refuse(keys map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if v, there := r.from[key]; there && v != false && v != "" && v != nil && r.err == nil {
			r.err = badKubeconfig(r.at+"."+key, "%s", keys[key])
		}
	}
}

func (r *reader) text(key string) string {
	s, ok := r.from[key].(string)
	if r.from[key] != nil && !ok && r.err == nil {
		r.err = badKubeconfig(r.at+"."+key, "is no text")
	}
	return s
}

func (r *reader) bytes(key string) []byte {
	b, err := base64.StdEncoding.DecodeString(r.text(key))
	if err != nil && r.err == nil {
		r.err = badKubeconfig(r.at+"."+key, "is not base64")
	}
	return b
}

func takeCluster(out *wire.Cluster, from map[string]any, at string) error {
	r := &reader{at: at, from: from}
	r.refuse(refusedClusterKeys())
	out.Server, out.TLSServerName, out.CA = r.text("server"), r.text("tls-server-name"), r.bytes("certificate-authority-data")
	if r.err != nil {
		return r.err
	}
	u, err := url.Parse(out.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return badKubeconfig(at+".server", "must be https://HOST[:PORT]: what is not encrypted anybody can read and change")
	}
	if len(out.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(out.CA) {
		return badKubeconfig(at+".certificate-authority-data", "has no certificate in PEM")
	}
	return nil
}

func takeUser(out *wire.Cluster, from map[string]any, at string) error {
	r := &reader{at: at, from: from}
	r.refuse(refusedUserKeys())
	out.Token, out.ClientCertificate, out.ClientKey = r.text("token"), r.bytes("client-certificate-data"), r.bytes("client-key-data")
	switch {
	case r.err != nil:
		return r.err
	case out.Token == "" && len(out.ClientCertificate) == 0:
		return badKubeconfig(at, "has neither a token nor client-certificate-data")
	case len(out.ClientCertificate) > 0:
		if _, err := tls.X509KeyPair(out.ClientCertificate, out.ClientKey); err != nil {
			return badKubeconfig(at+".client-certificate-data", "does not fit to client-key-data")
		}
	}
	return nil
}
