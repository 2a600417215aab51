// Package agent is an agent: a machine somewhere that carries out the tasks of a pool, given nothing but an address and a token.
//
//	settings.go   what it can be told            meet.go      finding out whose it is, and its name
//	agent.go      its life: works, drains, ends  explain.go   what to do when that fails
//	folder.go     what it keeps on disk
//
//	token ─▶ meet the server (pool, version, clock, name) ─▶ station works ─▶ a new token or name: meet again
//	           └ refused, unreachable: again, with growing pauses          └ drained: end
//
// What runs is not touched by any of it: runners are processes of their own, with tokens of their own, and the next station on
// the folder adopts them.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/process"
	"gantry.example/workers/station"
)

// Config is what an agent is made of. All fields are required.
type Config struct {
	Settings Settings
	Version  string   // of this program
	Runner   []string // the runner program with its arguments
	Log      *slog.Logger
	Out      io.Writer // where it tells whoever started it that it works
	Output   io.Writer // takes what runners logged
}

// Agent is one agent. Drain and Stop may be called from anywhere, any number of times.
type Agent struct {
	Config
	folder *folder
	users  process.Users

	drained chan struct{} // closed when it was asked to drain

	mu      sync.Mutex // guards the rest
	station *station.Station
	asked   int // asked…, the highest of all
	lasting *time.Timer
}

// What an agent was asked for.
const (
	askedNothing = iota
	askedToDrain
	askedToStop
)

// Why a session of work ends although the agent goes on.
var (
	errNewToken = errors.New("the token in the file is another one")
	errRival    = errors.New("another agent has the name")
)

// New takes the data folder for this process. Close it.
func New(cfg Config) (*Agent, error) {
	users, err := station.ChooseUsers(cfg.Settings.RunAs)
	if err != nil {
		return nil, err
	}
	f, err := openFolder(cfg.Settings.DataDir, users)
	if err != nil {
		return nil, err
	}
	station.TellRights(users, cfg.Log)
	return &Agent{Config: cfg, folder: f, users: users, drained: make(chan struct{})}, nil
}

// Close lets go of the data folder.
func (a *Agent) Close() error { return a.folder.close() }

// Run works until the agent has drained, which is no error, or ctx ends; then what runs goes on. It is called once.
func (a *Agent) Run(ctx context.Context) error {
	for {
		m, err := a.meet(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, errDrained) {
				return nil
			}
			return err
		}
		err = a.work(ctx, m)
		if !errors.Is(err, errNewToken) && !errors.Is(err, errRival) {
			return err
		}
		a.Log.Info("begins anew, what runs goes on", "reason", err)
	}
}

// work is a session: one token, one name.
func (a *Agent) work(ctx context.Context, m meeting) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s := a.Settings
	releases, err := s.Engines.Releases()
	if err != nil {
		return err
	}
	st, err := station.New(station.Config{
		Name: m.name, Pool: m.pool.ID, Labels: s.Labels, Version: a.Version, Instance: a.folder.instance, After: a.folder.after,
		Address: s.Address, NATSURL: s.natsURL(), CACert: m.ca, Token: m.token,
		Runner: a.Runner, WorkDir: a.folder.work(), CacheDir: a.folder.cache(), Users: a.users, Slots: s.Concurrency, Once: s.Once,
		MinFree: uint64(s.MinFreeDisk), LogLimit: int64(s.LogLimit), //nolint:gosec // no log is as large
		Releases: releases, Providers: s.Engines.Providers(), Log: a.Log, Output: a.Output,
		Ordered: a.heard(end), Unheard: a.unheard(), Around: s.runEnvironment(os.Environ()),
	})
	if err != nil {
		return err
	}
	a.use(st)
	a.Log.Info("agent is at work", "name", m.name, "pool", m.pool.Organization+"/"+m.pool.Name, "server", s.Address, "labels", s.Labels, "concurrency", s.Concurrency, "version", a.Version)
	_, _ = fmt.Fprintf(a.Out, "ready %s/%s %s\n", m.pool.Organization, m.pool.Name, m.name)
	var watching sync.WaitGroup
	watching.Go(func() { a.watchToken(ctx, m, end) })
	err = st.Run(ctx)
	cause := context.Cause(ctx)
	end(nil)
	watching.Wait()
	a.use(nil)
	err = errors.Join(err, st.Close())
	if err == nil && (errors.Is(cause, errNewToken) || errors.Is(cause, errRival)) {
		return cause
	}
	return err
}

// heard takes what the server says. The returned function is called from one goroutine.
func (a *Agent) heard(end context.CancelCauseFunc) func(wire.WorkerOrders) {
	return func(o wire.WorkerOrders) {
		if o.Rival != "" {
			end(errRival)
		}
		if o.Drain {
			a.Drain()
		}
	}
}

// unheard says why the server does not hear the agent, once for each reason. The returned function is called from one goroutine.
func (a *Agent) unheard() func(error) {
	var said string
	return func(err error) {
		if now := explain(err, &a.Settings); now != said && client.HasCode(err, messages.CodeUnauthorized) {
			said = now
			a.Log.Error(now)
		}
	}
}

// rotate is between two looks at the file of the token.
const rotate = 10 * time.Second

// watchToken ends the session when there is another token that the server takes.
func (a *Agent) watchToken(ctx context.Context, m meeting, end context.CancelCauseFunc) {
	tick := time.NewTicker(rotate)
	defer tick.Stop()
	tried := m.token
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		token, err := a.Settings.readToken()
		if err != nil || token == tried {
			continue
		}
		tried = token
		if _, err := a.ask(ctx, token, m.ca); err != nil {
			a.Log.Error("the new token is not taken into use: " + explain(err, &a.Settings))
			continue
		}
		end(errNewToken)
		return
	}
}

// Drain has the agent take nothing new and end when what runs is over. After Settings.DrainTimeout it is asked to stop.
func (a *Agent) Drain() { a.askFor(askedToDrain) }

// Stop drains, and asks what runs to stop: one SIGINT to terraform, its state is saved.
func (a *Agent) Stop() { a.askFor(askedToStop) }

func (a *Agent) askFor(what int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if what <= a.asked {
		return
	}
	if a.asked == askedNothing {
		close(a.drained)
		if t := a.Settings.DrainTimeout; t > 0 {
			a.lasting = time.AfterFunc(t, a.Stop)
		}
	}
	a.asked = what
	a.pass()
}

// use makes st the station that is asked; nil for none.
func (a *Agent) use(st *station.Station) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.station = st
	a.pass()
}

// stopLimit bounds asking what runs to stop.
const stopLimit = 10 * time.Second

// pass tells the station what was asked for. It holds a.mu.
func (a *Agent) pass() {
	if a.station == nil {
		return
	}
	switch a.asked {
	case askedToDrain:
		a.station.Drain()
	case askedToStop:
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		if err := a.station.Stop(ctx); err != nil {
			a.Log.Error("not everything could be asked to stop", "error", err)
		}
	}
}

// RunnerCommand is gantry-runner if it is beside this program, as in the container, else this program, which can do the same.
func RunnerCommand(args []string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	beside := filepath.Join(filepath.Dir(self), "gantry-runner")
	if _, err := os.Stat(beside); err == nil {
		return append([]string{beside}, args...), nil
	}
	return append([]string{self, "runner"}, args...), nil
}
