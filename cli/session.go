package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gantry.example/client"
)

// session follows one run to its end, or to where a person has to decide.
type session struct {
	app     *app
	client  *client.Client
	name    workspaceName
	run     client.Run
	display *display
	watch   *watcher
	printed *outputsSeen
	pending sync.WaitGroup // what an interrupt began
	waits   waited
	// detailed is --detailed-exitcode.
	detailed bool
}

// waited is a status that lasts, and what the run waits for in it.
type waited struct {
	status       client.Status
	since, asked time.Time
	text         string
}

func (a *app) session(c *client.Client, n workspaceName, run client.Run) *session {
	return &session{app: a, client: c, name: n, run: run}
}

// follow shows the run until it is final and returns nil only if it did what it was to do.
func (s *session) follow(ctx context.Context) error {
	ctx, detach := context.WithCancelCause(ctx)
	defer s.pending.Wait()
	defer detach(nil)
	s.display = s.app.display()
	defer s.display.close()
	defer s.app.contact.follow(s.display.note)()
	s.printed = &outputsSeen{to: s.display}
	s.watch = watch(ctx, s.client, s.run.ID)
	defer s.watch.close()
	defer s.app.interrupts.take(s.interrupted(ctx, detach))()

	s.display.note("Run %s: %s", s.run.ID, page(s.client, s.name, s.run.ID))
	state, err := s.phases(ctx)
	if errors.Is(context.Cause(ctx), errDetached) {
		return &Exit{Code: ExitFailure, Message: fmt.Sprintf(
			"left run %s before its end. See what becomes of it with gantry runs logs -f %s", s.run.ID, s.run.ID)}
	}
	if err != nil {
		s.display.note("Run %s may go on without this command. See it with gantry runs show %s", s.run.ID, s.run.ID)
		return err
	}
	return s.finish(ctx, state)
}

// phase is the plan or the apply, as a session follows it.
type phase struct {
	begun func(client.RunState) bool // there may be a log
	over  func(client.RunState) bool
	task  func(client.RunState) *client.TaskState
	read  func(context.Context) (client.Phase, error)
}

// statusIn reports whether a run has one of the statuses.
func statusIn(statuses ...client.Status) func(client.RunState) bool {
	return func(r client.RunState) bool {
		for _, s := range statuses {
			if r.Status == s {
				return true
			}
		}
		return false
	}
}

func not(f func(client.RunState) bool) func(client.RunState) bool {
	return func(r client.RunState) bool { return !f(r) }
}

func planPhase(c *client.Client, run client.Run) phase {
	return phase{
		begun: not(statusIn(client.Pending, client.PlanQueued)),
		over:  not(statusIn(client.Pending, client.PlanQueued, client.Planning)),
		task:  func(r client.RunState) *client.TaskState { return r.Plan },
		read:  func(ctx context.Context) (client.Phase, error) { return c.Plan(ctx, run.PlanID) },
	}
}

func applyPhase(c *client.Client, run client.Run) phase {
	return phase{
		begun: func(r client.RunState) bool { return r.Status == client.Applying || r.Status.Final() },
		over:  func(r client.RunState) bool { return r.Status.Final() },
		task:  func(r client.RunState) *client.TaskState { return r.Apply },
		read:  func(ctx context.Context) (client.Phase, error) { return c.Apply(ctx, run.ApplyID) },
	}
}

func (s *session) phases(ctx context.Context) (client.RunState, error) {
	state, err := s.follows(ctx, planPhase(s.client, s.run), s.display.Write)
	if err == nil && state.Status == client.Planned {
		state, err = s.decide(ctx)
	}
	if err != nil || state.Status == client.Planned {
		return state, err
	}
	// Also if the run is final by now: it may have been applied while its plan was shown.
	return s.follows(ctx, applyPhase(s.client, s.run), s.printed.Write)
}

// follows waits for the phase, copies its log and returns the run when the phase is over.
func (s *session) follows(ctx context.Context, p phase, write func([]byte) (int, error)) (client.RunState, error) {
	state, err := s.watch.await(ctx, p.begun, s.progress)
	if err != nil {
		return state, err
	}
	over := p.over(state)
	if !over {
		s.progress(state)
	}
	if !over || p.task(state).Started() {
		if err := s.stream(ctx, p, writerFunc(write)); err != nil {
			return state, err
		}
	}
	return s.watch.await(ctx, p.over, s.progress)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func (s *session) stream(ctx context.Context, p phase, w writerFunc) error {
	what, err := p.read(ctx)
	if err != nil {
		return err
	}
	err = s.client.StreamLog(ctx, what.LogReadURL, w, client.LogOptions{Follow: true, Ended: func() bool {
		state, _, err := s.watch.now()
		return err != nil || p.over(state)
	}})
	if errors.Is(err, client.ErrLogCut) {
		s.display.note("The end of the log is missing; the run itself is not affected.")
		return nil
	}
	return err
}

// progress says what is being waited for.
func (s *session) progress(r client.RunState) {
	detail := ""
	switch {
	case r.CancelRequested:
		detail = " (being canceled)"
	case r.Status == client.Planning && r.Plan.Stage() != "":
		detail = " (" + r.Plan.Stage() + ")"
	case r.Status == client.Applying && r.Apply.Stage() != "":
		detail = " (" + r.Apply.Stage() + ")"
	}
	waits := statusIn(client.Pending, client.PlanQueued, client.ApplyQueued)(r)
	s.display.progress(string(r.Status)+s.why(r.Status, waits), detail)
}

// whyAfter is how long a run is in the queue before anybody wonders, and whyAgain when the answer may be another.
const (
	whyAfter = time.Second
	whyAgain = 5 * time.Second
	whyLimit = 5 * time.Second // for the answer
)

// why says what a run waits for, once it has done so for a moment. progress is called by one goroutine at a time.
func (s *session) why(status client.Status, waits bool) string {
	if status != s.waits.status {
		s.waits = waited{status: status, since: time.Now()}
	}
	if !waits || time.Since(s.waits.since) < whyAfter {
		return ""
	}
	if s.waits.text == "" || time.Since(s.waits.asked) > whyAgain {
		ctx, cancel := context.WithTimeout(context.Background(), whyLimit)
		defer cancel()
		if w, err := s.client.Waiting(ctx, s.run.ID); err == nil && w.Text != "" { // the reason is not worth an error
			s.waits.text = ": " + w.Text
		}
		s.waits.asked = time.Now()
	}
	return s.waits.text
}
