package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/messages"
)

// Limits of what users wait for.
const (
	look       = time.Second // how often they look at their runs
	mostQueued = 3
	soon       = 300 * time.Millisecond // until a hasty user cancels
	longPlan   = 6 * time.Second        // what some plans take
)

// crowd are the users: one for each workspace.
type crowd struct {
	in     *installation
	users  []*user
	cancel context.CancelFunc
	leaves chan struct{} // closed: nobody begins anything new
	group  sync.WaitGroup
}

// user works in a workspace of their own. Its fields are of its goroutine until the crowd has left.
type user struct {
	settings
	in       *installation
	name     string
	id       string
	dice     *rand.Rand
	words    int
	accepted []string
	err      error
}

func newCrowd(ctx context.Context, in *installation, s settings) (*crowd, error) {
	c := &crowd{in: in, leaves: make(chan struct{})}
	for i := range s.workspaces {
		u := &user{settings: s, in: in, name: fmt.Sprintf("w%02d", i), dice: rand.New(rand.NewPCG(s.seed, uint64(i)))} //nolint:gosec // chance, not secrecy
		if err := newJournal(in.path("journals", u.name)); err != nil {
			return nil, err
		}
		if err := u.moveIn(ctx); err != nil {
			return nil, err
		}
		if len(in.pools) > 1 && i%2 == 1 {
			if err := u.useAgents(ctx); err != nil {
				return nil, err
			}
		}
		c.users = append(c.users, u)
	}
	return c, nil
}

// moveIn makes the user's workspace. One of the servers may be ready and another, which the request meets, still starting.
func (u *user) moveIn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		w, err := u.in.client.CreateWorkspace(ctx, "default", u.name)
		u.id = w.ID
		if err == nil || !client.Unreachable(err) || pause(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}

func (c *crowd) start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	for _, u := range c.users {
		c.group.Go(func() { u.err = u.work(ctx, c.leaves) })
	}
}

// leave lets everybody finish what they began.
func (c *crowd) leave() error {
	close(c.leaves)
	c.group.Wait()
	c.cancel()
	var err error
	for _, u := range c.users {
		err = errors.Join(err, u.err)
	}
	return err
}

// abandon ends everybody's work at once.
func (c *crowd) abandon() { c.cancel() }

func (u *user) work(ctx context.Context, leaves <-chan struct{}) error {
	for {
		select {
		case <-leaves:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		var runs []client.Run
		for range 1 + u.dice.IntN(mostQueued) {
			r, err := u.ask(ctx)
			if err != nil {
				continue // said so: nothing was promised
			}
			u.accepted = append(u.accepted, r.ID)
			if u.hasty && pause(ctx, u.upTo(soon)) == nil {
				_ = u.in.client.CancelRun(ctx, r.ID, "") // or it goes on
			}
			runs = append(runs, r)
		}
		for _, r := range runs {
			err := u.accompany(ctx, r.ID)
			if errors.Is(err, errGivenUp) {
				return nil // what comes behind it waits as well
			}
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("workspace %s: run %s: %w", u.name, r.ID, err)
			}
		}
		if err := pause(ctx, u.upTo(2*time.Second)); err != nil {
			return nil
		}
	}
}

func (u *user) upTo(d time.Duration) time.Duration { return time.Duration(u.dice.Int64N(int64(d))) }

// ask uploads a configuration and creates a run of it. Its word is how the journal knows it.
func (u *user) ask(ctx context.Context) (client.Run, error) {
	u.words++
	word := fmt.Sprintf("%s-%03d", u.name, u.words)
	steps := make([]time.Duration, 1+u.dice.IntN(4))
	for i := range steps {
		steps[i] = 50*time.Millisecond + u.upTo(1200*time.Millisecond)
	}
	options := client.RunOptions{WorkspaceID: u.id, Message: word}
	switch n := u.dice.IntN(20); {
	case n < 2:
		options.PlanOnly = true
	case n < 16:
		options.AutoApply = true
	}
	return u.create(ctx, options, u.files(word, steps, options.PlanOnly))
}

// create uploads the files as a configuration and creates a run of it.
func (u *user) create(ctx context.Context, options client.RunOptions, files map[string]string) (client.Run, error) {
	archive, err := pack(files)
	if err != nil {
		return client.Run{}, err
	}
	cv, err := u.in.client.CreateConfigurationVersion(ctx, u.id, options.PlanOnly)
	if err != nil {
		return client.Run{}, err
	}
	if err := u.in.client.Upload(ctx, cv.UploadURL, bytes.NewReader(archive), int64(len(archive))); err != nil {
		return client.Run{}, err
	}
	options.ConfigurationVersionID = cv.ID
	return u.in.client.CreateRun(ctx, options)
}

func (u *user) files(word string, steps []time.Duration, planOnly bool) map[string]string {
	files := map[string]string{"main.tf": configuration(u.in.path("journals", u.name), word, steps)}
	if planOnly {
		files[speculativeName] = ""
	}
	if u.planTakes > 0 {
		files[takesName] = u.planTakes.String()
	} else if u.dice.IntN(8) == 0 {
		files[takesName] = u.upTo(longPlan).String()
	}
	return files
}

// errGivenUp: the user's patience with a run is over.
var errGivenUp = errors.New("given up")

// accompany does what a person has to do about a run, until it is over.
func (u *user) accompany(ctx context.Context, id string) error {
	canceled := u.dice.IntN(12) != 0 // nobody wants to, mostly
	for end := time.Now().Add(u.patience); time.Now().Before(end); {
		if err := pause(ctx, look/2+u.upTo(look)); err != nil {
			return err
		}
		r, err := u.in.client.Run(ctx, id)
		switch {
		case client.NotFound(err):
			return nil // the judge finds it missing
		case err != nil:
			continue // not there for the moment
		case r.Status.Final() && r.Code == string(messages.CodeRunOutcomeUnknown):
			return u.takeOver(ctx)
		case r.Status.Final():
			return nil
		case r.Status == client.Planned && !r.AutoApply && !r.PlanOnly:
			_ = u.in.client.ApplyRun(ctx, id, "") // again at the next look
		case !canceled && u.dice.IntN(3) == 0:
			canceled = u.in.client.CancelRun(ctx, id, "") == nil
		}
	}
	return errGivenUp
}

// takeOver is the human action that an unknown outcome waits for: somebody makes sure that nothing works on it any more, and
// unlocks the workspace.
func (u *user) takeOver(ctx context.Context) error {
	for end := time.Now().Add(u.patience); time.Now().Before(end); {
		// What was frozen may execute terraform only when it goes on, so it is waited for longer than anything is frozen.
		if err := pause(ctx, u.handsOff); err != nil {
			return err
		}
		if quiet, err := idle(u.in.path("journals", u.name)); err != nil || !quiet {
			continue
		}
		if err := u.in.client.UnlockWorkspace(ctx, u.id, true); err == nil || !client.Unreachable(err) {
			return nil // a refusal: a late result resolved it
		}
	}
	return errors.New("its terraform does not end, so nobody can unlock the workspace")
}
