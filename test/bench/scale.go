package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gantry.example/services/postgres/pastruns"
	"gantry.example/test/bench/figures"
)

// The past of the small side: enough to fill the pages that are asked for.
const (
	fewWorkspaces = 40
	fewRuns       = 4000
	askTimes      = 40
)

// past is a server with a past.
type past struct {
	*server
	target  target
	run     string // one of it, of the target's workspace
	browser *http.Client
	begun   chan string // runs whose plan was claimed
	worker  *noop
}

// scale compares a server with a long past with one that has next to none.
func (b *bench) scale(ctx context.Context) (err error) {
	d, err := b.startDatabase(ctx, "scale-postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	workspaces := max(b.past/100, fewWorkspaces)
	b.report.Scale = figures.Scale{Runs: b.past, Workspaces: workspaces, FewRuns: fewRuns, FewWorkspaces: fewWorkspaces}
	var sides [2]*past
	for i, size := range []pastruns.Past{{Workspaces: fewWorkspaces, Runs: fewRuns}, {Workspaces: workspaces, Runs: b.past}} {
		if sides[i], err = b.startPast(ctx, d, fmt.Sprint("past_", i), size); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sides[i].end()) }()
	}
	for _, q := range b.questions() {
		a := figures.Asked{What: q.what}
		for n := range askTimes + 3 { // the first fill caches, and Postgres settles for a plan
			into := [2]*figures.Sample{&a.Few, &a.Many}
			for k := range sides {
				side := (n + k) % 2
				took, err := q.ask(ctx, sides[side])
				if err != nil {
					return fmt.Errorf("%s: %w", q.what, err)
				}
				if n >= 3 {
					*into[side] = append(*into[side], milliseconds(took))
				}
			}
		}
		b.say("%s: %s and %s ms", q.what, a.Few.Show(1), a.Many.Show(1))
		b.report.Scale.Lists = append(b.report.Scale.Lists, a)
	}
	return nil
}

// startPast starts a server, has it do one run, and gives it a past of that kind.
func (b *bench) startPast(ctx context.Context, d *database, name string, size pastruns.Past) (p *past, err error) {
	dsn, err := d.add(ctx, name)
	if err != nil {
		return nil, err
	}
	p = &past{begun: make(chan string, 10)}
	if p.server, err = b.startOn(ctx, name, dsn); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.end())
		}
	}()
	if p.target, err = p.newTarget(ctx, "probe", resources(1)); err != nil {
		return nil, err
	}
	ended := make(chan error, 10)
	if p.worker, err = p.startNoop(ctx, 1, func(id string) { p.begun <- id }, func(err error) { ended <- err }); err != nil {
		return nil, err
	}
	run, err := p.create(ctx, p.target)
	if err != nil {
		return nil, err
	}
	<-p.begun
	if err := <-ended; err != nil {
		return nil, err
	}
	p.worker.ended = func(error) {}
	p.run, size.Run = run.ID, run.ID
	b.say("a past of %d runs in %d workspaces", size.Runs, size.Workspaces)
	if err := pastruns.Fill(ctx, dsn, size); err != nil {
		return nil, err
	}
	return p, p.logIn(ctx)
}

func (p *past) end() error {
	if p.worker != nil {
		p.worker.stop()
	}
	return p.stop()
}

// logIn makes p.browser one that is logged in.
func (p *past) logIn(ctx context.Context) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(p.data, "admin-token"))
	if err != nil {
		return err
	}
	p.browser = &http.Client{Jar: jar}
	form := url.Values{"token": {strings.TrimSpace(string(token))}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.client.Address()+"/app/login", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.client.Address())
	return p.send(req)
}

func (p *past) send(req *http.Request) error {
	resp, err := p.browser.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", req.URL.Path, resp.Status)
	}
	return nil
}

// question is something that is measured on both sides.
type question struct {
	what string
	ask  func(context.Context, *past) (time.Duration, error)
}

// questions are all of them: those of the API by their path, in which W is the workspace and R a run.
func (b *bench) questions() []question {
	out := []question{{"dispatch: create → claimed", dispatch}}
	const workspace, organization = "/api/v2/workspaces/W", "/api/v2/organizations/" + organization
	for _, path := range []string{
		workspace + "/runs", workspace + "/runs?page[number]=4", workspace + "/runs?filter[status]=errored",
		organization + "/runs", organization + "/runs?page[number]=20", organization + "/runs?filter[status]=errored,canceled", organization + "/runs/queue",
		organization + "/capacity", organization + "/workspaces", organization + "/workspaces?page[number]=2", organization + "/workspaces?search[name]=past-00001",
		organization + "/workspaces/probe", organization + "/agent-pools", organization + "/varsets",
		"/api/v2/state-versions?filter[organization][name]=default&filter[workspace][name]=probe",
		"/api/v2/runs/R", "/api/v2/runs/R/run-events", "/api/gantry/v1/runs/R", "/api/gantry/v1/runs/R/waiting", "/api/v2/organizations", "/api/gantry/v1/tokens",
	} {
		out = append(out, question{"GET " + path, func(ctx context.Context, p *past) (time.Duration, error) { return p.get(ctx, path, false) }})
	}
	for _, path := range []string{"/api/gantry/v1/organizations/default/events", "/api/gantry/v1/runs/R/events"} {
		out = append(out, question{"snapshot of " + path, func(ctx context.Context, p *past) (time.Duration, error) { return p.get(ctx, path, true) }})
	}
	for _, path := range []string{
		"/app/", "/app/~workspaces", "/app/~workspaces?name=past-00001", "/app/~workspaces?name=past", "/app/~workspaces?status=failed", "/app/~workspaces?status=done",
		"/app/~workspaces?locked=yes", "/app/~workspaces?label=env", "/app/~pools", "/app/~audit", "/app/~streams", "/app/default/probe", "/app/default/probe/runs", "/app/default/probe/runs/R",
	} {
		out = append(out, question{"page " + path, func(ctx context.Context, p *past) (time.Duration, error) { return p.page(ctx, path) }})
	}
	return append(out, question{"metrics", func(ctx context.Context, p *past) (time.Duration, error) { return p.get(ctx, "/metrics", false) }},
		question{"gantry runs list", b.runsList})
}

func (p *past) fill(path string) string {
	return strings.NewReplacer("W", p.target.workspaceID, "R", p.run, "[", "%5B", "]", "%5D").Replace(path)
}

// dispatch is from the request to create a run until it is claimed.
func dispatch(ctx context.Context, p *past) (time.Duration, error) {
	began := time.Now()
	run, err := p.create(ctx, p.target)
	if err != nil {
		return 0, err
	}
	select {
	case id := <-p.begun:
		took := time.Since(began)
		if id != run.ID {
			return 0, fmt.Errorf("run %s was claimed, want %s", id, run.ID)
		}
		return took, rest(ctx, 50*time.Millisecond) // until it is over
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// get asks the API. Of a stream it reads the first message.
func (p *past) get(ctx context.Context, path string, stream bool) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.client.Address()+p.fill(path), nil)
	if err != nil {
		return 0, err
	}
	token, err := os.ReadFile(filepath.Join(p.data, "admin-token"))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	if !stream {
		began := time.Now()
		err := p.send(req)
		return time.Since(began), err
	}
	return p.firstMessage(req)
}

func (p *past) firstMessage(req *http.Request) (time.Duration, error) {
	req.Header.Set("Accept", "text/event-stream")
	began := time.Now()
	resp, err := p.browser.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answers %s", req.URL.Path, resp.Status)
	}
	var got []byte
	for buffer := make([]byte, 64<<10); !strings.Contains(string(got), "data:") || !strings.HasSuffix(string(got), "\n\n"); {
		n, err := resp.Body.Read(buffer)
		got = append(got, buffer[:n]...)
		if err != nil && !(errors.Is(err, io.EOF) && strings.Contains(string(got), "data:")) { // a run that is over has no more to say
			return 0, err
		}
	}
	return time.Since(began), nil
}

func (p *past) page(ctx context.Context, path string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.client.Address()+p.fill(path), nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = p.send(req)
	return time.Since(began), err
}

// runsList is the command of our own CLI.
func (b *bench) runsList(ctx context.Context, p *past) (time.Duration, error) {
	token, err := os.ReadFile(filepath.Join(p.data, "admin-token"))
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, b.bin, "runs", "list", "--workspace", "default/probe")
	cmd.Env = append(p.cmd.Env, "GANTRY_ADDRESS="+p.client.Address(), "GANTRY_TOKEN="+strings.TrimSpace(string(token)))
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("gantry runs list: %w: %s", err, lastLines(string(out), 5))
	}
	return time.Since(began), nil
}
