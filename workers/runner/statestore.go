package runner

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/workers/terraform"
)

// stateStore is where terraform reads and saves the attempt's state while it runs: an HTTP address of the runner's own, for
// Terraform's "http" backend. A save is answered when the state is in a file, complete; terraform starts nothing that depends
// on a resource before that. So nothing is lost with any process. There is no fsync: what a dying host takes along is
// bounded by the uploads.
type stateStore struct {
	url    string
	path   string
	log    *slog.Logger
	server *http.Server
	done   chan struct{}

	// elsewhere takes a state that cannot be written here, such as for a full disk; nil means that nobody does.
	elsewhere func(state []byte, ref wire.StateRef) error

	mu      sync.Mutex // guards what follows
	files   statePair
	current []byte
}

// maxServedState bounds a saved state, far above any real one.
const maxServedState = 1 << 30

// serveState serves the state that the folder has, or else initial. If the folder's attempt served it before, the address is
// the same again, because terraform may still be using it.
func serveState(f folder, initial []byte, elsewhere func([]byte, wire.StateRef) error, log *slog.Logger) (*stateStore, error) {
	address, path := "127.0.0.1:0", "/"+rand.Text() // other users of this host can connect, but not guess
	if known, err := os.ReadFile(f.stateAddress()); err == nil {
		address, path, _ = strings.Cut(string(known), "/")
		path = "/" + path
	}
	s := &stateStore{path: path, log: log, elsewhere: elsewhere, current: initial, done: make(chan struct{})}
	var saved []byte
	if s.files, saved = openStatePair(f.savedState(), f.otherState()); saved != nil {
		s.current = saved
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve the state: %w", err)
	}
	if elsewhere != nil { // of a plan terraform saves nothing, so nobody has to serve it again
		if err := replaceFile(f.stateAddress(), []byte(ln.Addr().String()+path)); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
	}
	s.url = "http://" + ln.Addr().String() + path
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(ln) // until close
	}()
	return s, nil
}

func (s *stateStore) close() {
	if s == nil {
		return
	}
	_ = s.server.Close()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files.close()
}

// ServeHTTP implements the protocol of Terraform's "http" backend without locks: the workspace has one already.
func (s *stateStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != s.path {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet:
		s.mu.Lock()
		current := s.current
		s.mu.Unlock()
		if current == nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(current)
	case http.MethodPost:
		if err := s.save(http.MaxBytesReader(w, r.Body, maxServedState)); err != nil {
			s.log.Error("terraform's state could not be saved", "error", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	default:
		http.Error(w, "only GET and POST", http.StatusMethodNotAllowed)
	}
}

func (s *stateStore) save(body io.Reader) error {
	var b bytes.Buffer
	if _, err := b.ReadFrom(body); err != nil {
		return err
	}
	ref, err := terraform.StateHead(b.Bytes()) // complete, or reading it had failed
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.files.write(b.Bytes())
	if err != nil && s.elsewhere != nil {
		s.log.Warn("terraform's state cannot be written here, it is stored at the server instead", "serial", ref.Serial, "error", err)
		if other := s.elsewhere(b.Bytes(), ref); other != nil {
			err = errors.Join(err, other)
		} else {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	s.current = b.Bytes()
	return nil
}

// keep writes a state that terraform has in a file of its own to the one of the store, unless terraform saved it, or a newer
// one, here: whoever read an older state a moment ago must not put it in the place of what was saved meanwhile.
func (s *stateStore) keep(state []byte, ref wire.StateRef) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if saved, err := terraform.StateHead(s.current); err == nil && saved.Serial >= ref.Serial {
		return nil
	}
	return s.files.write(state)
}
