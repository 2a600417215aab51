package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"time"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// meeting is what an agent knows once the server has taken its token.
type meeting struct {
	token string
	ca    []byte
	pool  wire.PoolInfo
	name  string
}

// Pauses between tries to meet the server: what is wrong may take a person to mend.
const (
	firstPause = time.Second
	maxPause   = time.Minute
	askBudget  = 5 * time.Second
)

// maxSkew is how wrong this machine's clock may be before somebody is told.
const maxSkew = time.Minute

var errDrained = errors.New("asked to end before there was anything to do")

// meet tries until the server takes the agent. It gives up only when ctx ends or the agent is to end, because whoever started it
// would start it again, only faster.
func (a *Agent) meet(ctx context.Context) (meeting, error) {
	said := ""
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		m, err := a.tryMeet(ctx)
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		if now := explain(err, &a.Settings); now != said {
			said = now
			a.Log.Error(now + ". Trying again, every minute in the end")
		}
		timer := time.NewTimer(pause/2 + mathrand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-a.drained:
			timer.Stop()
			return m, errDrained
		}
	}
}

func (a *Agent) tryMeet(ctx context.Context) (m meeting, err error) {
	if m.token, err = a.Settings.readToken(); err != nil {
		return m, plainError{err}
	}
	if m.ca, err = a.Settings.readCA(); err != nil {
		return m, plainError{err}
	}
	if m.pool, err = a.ask(ctx, m.token, m.ca); err != nil {
		return m, err
	}
	if !compatible(a.Version, m.pool.Version) {
		return m, &versionError{agent: a.Version, server: m.pool.Version}
	}
	m.name, err = a.takeName(ctx, m)
	return m, err
}

// ask finds out whose the token is.
func (a *Agent) ask(ctx context.Context, token string, ca []byte) (wire.PoolInfo, error) {
	var info wire.PoolInfo
	began := time.Now()
	err := a.calls(token, ca, func(p *client.Pool) (err error) {
		info, err = p.Info(ctx)
		return err
	})
	if err == nil && info.ID == messages.LocalPool {
		return info, plainError{errors.New("the token is that of the server's own workers: an agent needs one of a pool of agents, from gantry pools tokens new ORG/POOL")}
	}
	if err == nil && !info.Time.IsZero() {
		if skew := began.Add(time.Since(began) / 2).Sub(info.Time); skew.Abs() > maxSkew {
			a.Log.Warn("this machine's clock is wrong, and so will be what is shown of its runs: set it", "ahead_of_the_server", skew.Round(time.Second))
		}
	}
	return info, err
}

func (a *Agent) calls(token string, ca []byte, do func(*client.Pool) error) error {
	t, err := client.NewTransport(client.Config{Address: a.Settings.Address, Token: token, CACert: ca, Budget: askBudget})
	if err != nil {
		return err
	}
	defer t.Close()
	return do(client.NewPool(t))
}

// takeName makes sure that no other agent of the pool goes by the name, or takes one that is like it.
func (a *Agent) takeName(ctx context.Context, m meeting) (string, error) {
	name := a.folder.name(a.Settings.Name)
	for {
		var orders wire.WorkerOrders
		err := a.calls(m.token, m.ca, func(p *client.Pool) (err error) {
			orders, err = p.SawWorker(ctx, wire.WorkerStatus{
				V: messages.Version, Name: name, Slots: a.Settings.Concurrency, Labels: a.Settings.Labels, Version: a.Version,
				Instance: a.folder.instance, After: a.folder.after,
			})
			return err
		})
		if err != nil || orders.Rival == "" {
			return name, err
		}
		another := suffixed(a.Settings.Name)
		a.Log.Warn("another agent of the pool goes by this name, so this one takes another: give each a --name of its own", "name", name, "its_address", orders.Rival, "instead", another)
		name = another
		if err := a.folder.rename(a.Settings.Name, name); err != nil {
			return name, fmt.Errorf("--data-dir: %w", err)
		}
	}
}

// suffixed is a name like the given one that nobody else has.
func suffixed(name string) string {
	const suffix = 5
	return name[:min(len(name), messages.MaxNameLength-suffix)] + "-" + strings.ToLower(rand.Text()[:suffix-1])
}

// versionError tells that agent and server are too far apart.
type versionError struct{ agent, server string }

func (e *versionError) Error() string {
	return fmt.Sprintf("this agent is of version %s and the server of %s: an agent may be one minor version older or newer, so install the server's version of gantry-agent", e.agent, e.server)
}

// compatible reports whether the versions are at most one minor version apart. What is no version is taken for a good one.
func compatible(agent, server string) bool {
	agentMajor, agentMinor, ok := parseVersion(agent)
	major, minor, also := parseVersion(server)
	return !ok || !also || agentMajor == major && agentMinor-minor <= 1 && minor-agentMinor <= 1
}

// parseVersion reads v1.2 and whatever follows.
func parseVersion(text string) (major, minor int, ok bool) {
	rest, ok := strings.CutPrefix(text, "v")
	first, rest, dot := strings.Cut(rest, ".")
	if !ok || !dot {
		return 0, 0, false
	}
	second := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		second = rest[:end]
	}
	major, errMajor := strconv.Atoi(first)
	minor, errMinor := strconv.Atoi(second)
	return major, minor, errMajor == nil && errMinor == nil
}
