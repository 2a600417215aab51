package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

// probeLimit is far above what a probe takes, which is a tenth of a second.
const probeLimit = 20 * time.Second

// probeConfig makes three resources one after the other.
const probeConfig = `
resource "terraform_data" "a" { input = 1 }
resource "terraform_data" "b" { input = terraform_data.a.id }
resource "terraform_data" "c" { input = terraform_data.b.id }
`

// SavesEachStep reports whether the engine, given SessionConfig.StateURL, saves the state after each resource. It is tried
// out once for each program, with resources that exist in the state only, and remembered in the cache folder.
func SavesEachStep(ctx context.Context, e Engine, cacheDir string) (bool, error) {
	info, err := os.Stat(e.Path)
	if err != nil {
		return false, err
	}
	key := fmt.Sprintf("%s %d %d saves-each-step", e.Path, info.Size(), info.ModTime().UnixNano())
	cache := openVersionCache(filepath.Join(cacheDir, "engine-probes.json"))
	if known, ok := cache.entries[key]; ok {
		return known == "true", nil
	}
	saves, err := probe(ctx, e)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	cache.entries[key] = fmt.Sprint(saves && err == nil)
	if err := errors.Join(os.MkdirAll(cacheDir, 0o700), cache.save()); err != nil {
		return false, err
	}
	return cache.entries[key] == "true", nil
}

// probe applies the probe's configuration and counts the saves before the last.
func probe(ctx context.Context, e Engine) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	dir, err := os.MkdirTemp("", "gantry-probe-")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var saves atomic.Int64
	url, stop, err := serveProbe(&saves)
	if err != nil {
		return false, err
	}
	defer stop()
	if err := newFile(filepath.Join(dir, "main.tf"), []byte(probeConfig+backendOverride(url))); err != nil {
		return false, err
	}
	for _, args := range [][]string{{"init", "-input=false"}, {"apply", "-input=false", "-auto-approve"}} {
		cmd := exec.CommandContext(ctx, e.Path, args...)
		cmd.Dir = dir
		cmd.Env = append(backendEnvironment(url, 0), "PATH="+os.Getenv("PATH"), "HOME="+dir, "CHECKPOINT_DISABLE=1")
		if err := cmd.Run(); err != nil {
			return false, err
		}
	}
	return saves.Load() >= 3, nil
}

// serveProbe is a state that is forgotten at once, except that it counts what has resources in it.
func serveProbe(saves *atomic.Int64) (url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: probeLimit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		var state struct{ Resources []json.RawMessage }
		if b, err := io.ReadAll(r.Body); err == nil && json.Unmarshal(b, &state) == nil && len(state.Resources) > 0 {
			saves.Add(1)
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln) // until stop
	}()
	return "http://" + ln.Addr().String() + "/probe", func() { _ = server.Close(); <-done }, nil
}
