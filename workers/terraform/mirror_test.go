package terraform_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"sync"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"gantry.example/workers/terraform"
)

// mirror is a site that has releases of terraform, laid out as HashiCorp's, and of tofu, laid out as --tofu-mirror says.
type mirror struct {
	*httptest.Server
	signer *openpgp.Entity
	key    string // armored

	mu    sync.Mutex
	files map[string][]byte // by path
	gets  map[string]int
}

const platform = runtime.GOOS + "_" + runtime.GOARCH

func newMirror(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{files: map[string][]byte{}, gets: map[string]int{}}
	m.signer, m.key = newKey(t)
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.gets[r.URL.Path]++
		body, ok := m.files[r.URL.Path]
		switch path.Ext(r.URL.Path) {
		case ".json":
			w.Header().Set("Content-Type", "application/json")
		case ".zip":
			w.Header().Set("Content-Type", "application/zip")
		}
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(m.Close)
	return m
}

func newKey(t *testing.T) (*openpgp.Entity, string) {
	t.Helper()
	e, err := openpgp.NewEntity("mirror", "test", "mirror@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = e.Serialize(w)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	return e, b.String()
}

func (m *mirror) releases() terraform.Releases {
	return terraform.Releases{TerraformMirror: m.URL + "/", TerraformKey: m.key, TofuMirror: m.URL, TofuKey: m.key}
}

func (m *mirror) count(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gets[name]
}

// program is an engine that says it is this version.
func program(version string) []byte {
	return []byte("#!/bin/sh\necho '{\"terraform_version\":\"" + version + "\"}'\n")
}

// sums is a signed list of checksums of one file.
func (m *mirror) sums(t *testing.T, name string, content []byte) (sums, signature []byte) {
	t.Helper()
	sums = fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(content), name)
	var b bytes.Buffer
	if err := openpgp.DetachSign(&b, m.signer, bytes.NewReader(sums), nil); err != nil {
		t.Fatal(err)
	}
	return sums, b.Bytes()
}

// terraform adds releases of terraform.
func (m *mirror) terraform(t *testing.T, versions ...string) {
	t.Helper()
	index := map[string]any{}
	for _, v := range versions {
		base, prefix := "/terraform/"+v+"/", "terraform_"+v+"_"
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		f, err := z.Create("terraform")
		if err != nil {
			t.Fatal(err)
		}
		f.Write(program(v))
		z.Close()
		archive := prefix + platform + ".zip"
		m.files[base+archive] = b.Bytes()
		m.files[base+prefix+"SHA256SUMS"], m.files[base+prefix+"SHA256SUMS.sig"] = m.sums(t, archive, b.Bytes())
		release := map[string]any{
			"name": "terraform", "version": v, "shasums": prefix + "SHA256SUMS", "shasums_signature": prefix + "SHA256SUMS.sig",
			"builds": []any{map[string]any{
				"name": "terraform", "version": v, "os": runtime.GOOS, "arch": runtime.GOARCH, "filename": archive,
				"url": "https://releases.hashicorp.com" + base + archive, // as in a copy
			}},
		}
		index[v] = release
		m.json(t, base+"index.json", release)
	}
	m.json(t, "/terraform/index.json", map[string]any{"name": "terraform", "versions": index})
}

// tofu adds releases of tofu.
func (m *mirror) tofu(t *testing.T, versions ...string) {
	t.Helper()
	var list []any
	for _, v := range versions {
		base, prefix := "/v"+v+"/", "tofu_"+v+"_"
		var b bytes.Buffer
		gz := gzip.NewWriter(&b)
		w := tar.NewWriter(gz)
		if err := w.WriteHeader(&tar.Header{Name: "tofu", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program(v)))}); err != nil {
			t.Fatal(err)
		}
		w.Write(program(v))
		w.Close()
		gz.Close()
		archive := prefix + platform + ".tar.gz"
		m.files[base+archive] = b.Bytes()
		m.files[base+prefix+"SHA256SUMS"], m.files[base+prefix+"SHA256SUMS.gpgsig"] = m.sums(t, archive, b.Bytes())
		list = append(list, map[string]any{"id": v, "files": []string{archive, prefix + "SHA256SUMS", prefix + "SHA256SUMS.gpgsig"}})
	}
	m.json(t, "/api.json", map[string]any{"versions": list})
}

func (m *mirror) json(t *testing.T, name string, content any) {
	t.Helper()
	b, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	m.files[name] = b
}
