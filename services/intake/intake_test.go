package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/natstest"
	"gantry.example/internal/pgtest"
	"gantry.example/internal/telemetry"
	"gantry.example/messages"
	"gantry.example/services/intake"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// newProducer connects with the permissions of a producer of the world's organization.
func newProducer(t *testing.T, w *servicestest.World) *natstest.Producer {
	t.Helper()
	if err := errors.Join(w.Bus.EnsureIntake(t.Context(), 1), w.Bus.EnsureDeadLetters(t.Context(), 1)); err != nil {
		t.Fatal(err)
	}
	return w.NATS.Producer(t, w.Workspace.OrganizationID)
}

func runs(t *testing.T, w *servicestest.World) []run.Run {
	t.Helper()
	all, _, err := w.DB.Runs(t.Context(), postgres.RunFilter{WorkspaceID: w.Workspace.ID})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func deadLetters(t *testing.T, w *servicestest.World) []messages.DeadLetter {
	t.Helper()
	all, err := w.Bus.DeadLetters().List(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestSameRunAsTheAPI: the message's run differs from the API's in who asked and nothing else.
func TestSameRunAsTheAPI(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	p := newProducer(t, w)
	w.Start(intake.New(w.DB, w.Bus, 1, false, nil, w.Log).Run)
	body := fmt.Appendf(nil, `{"workspace_id":%q,"message":"why","options":{"plan_only":true,"destroy":true,"target_addrs":["a.b"],
		"variables":[{"key":"v","value":"1"}]},"execution":{"workdir":"own"}}`, w.Workspace.ID)
	answer := p.Ask(t, body, messages.HeaderIdempotencyKey, "deploy-1", telemetry.Header, traceparent)
	if answer.Error != nil || answer.IdempotencyKey != "deploy-1" {
		t.Fatalf("got %+v, want a run under the key deploy-1", answer)
	}
	got := w.Get(answer.RunID)
	if want := strings.Split(traceparent, "-")[1]; !strings.Contains(got.Traceparent, want) {
		t.Errorf("got traceparent %q, want the producer's trace %s continued", got.Traceparent, want)
	}

	req, err := postgres.ParseRequest(body)
	if err != nil {
		t.Fatal(err)
	}
	same, err := w.DB.CreateRun(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got.Source != "gantry-intake" || got.CreatedBy != "a producer" {
		t.Errorf("got source %q, by %q, want gantry-intake, a producer", got.Source, got.CreatedBy)
	}
	type asked struct {
		Options   run.Options
		Execution messages.Execution
		Note, CV  string
		Status    run.Status
	}
	of := func(r run.Run) asked {
		return asked{r.Options, r.Execution, r.Note, r.ConfigurationVersionID, r.Status}
	}
	if diff := cmp.Diff(of(same), of(got)); diff != "" {
		t.Errorf("run differs from the API's (-API +intake):\n%s", diff)
	}

	// The same request again gets the same answer, another one under its key is refused.
	if again := p.Ask(t, body, messages.HeaderIdempotencyKey, "deploy-1"); again.RunID != answer.RunID {
		t.Errorf("asked again: got %+v, want run %s", again, answer.RunID)
	}
	if other := p.Ask(t, []byte(`{"workspace_id":"`+w.Workspace.ID+`"}`), messages.HeaderIdempotencyKey, "deploy-1"); other.Error == nil || other.Error.Code != messages.CodeIdempotencyMismatch {
		t.Errorf("another request under the key: got %+v, want %s", other, messages.CodeIdempotencyMismatch)
	}
	if n := len(runs(t, w)); n != 2 {
		t.Errorf("got %d runs, want the message's and the API's", n)
	}
}

// TestRefusedRequests: each is answered with its code and field, kept with its bytes, headers and reason, and disturbs nobody.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	p := newProducer(t, w)
	w.Start(intake.New(w.DB, w.Bus, 1, false, nil, w.Log).Run)
	other, err := w.DB.CreateOrganization(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := w.DB.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "other", Name: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := w.DB.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "default", Name: "empty"})
	if err != nil {
		t.Fatal(err)
	}
	unknown := messages.NewID("ws-")
	for name, c := range map[string]struct {
		body  string
		code  messages.Code
		field string
		says  string
	}{
		"not JSON":                        {"plan, please\x00\xff", messages.CodeInvalid, "", "not JSON"},
		"unknown field":                   {`{"workspace_id":"WS","options":{"plan-only":true}}`, messages.CodeInvalid, "options.plan-only", "unknown field"},
		"later version, unknown field":    {`{"v":9,"workspace_id":"WS","when":"later"}`, messages.CodeInvalid, "when", "version 9"},
		"variable that is no expression":  {`{"workspace_id":"WS","options":{"variables":[{"key":"v","value":"["}]}}`, messages.CodeInvalid, "options.variables[0].value", ""},
		"unknown workspace":               {`{"workspace_id":"` + unknown + `"}`, messages.CodeNotFound, "workspace_id", `workspace "` + unknown + `" does not exist`},
		"workspace of another":            {`{"workspace_id":"` + foreign.ID + `"}`, messages.CodeNotFound, "workspace_id", `workspace "` + foreign.ID + `" does not exist`},
		"no configuration":                {`{"workspace_id":"` + empty.ID + `"}`, messages.CodeConfigurationMissing, "configuration_version_id", "no configuration"},
		"configuration of another":        {`{"workspace_id":"WS","configuration_version_id":"cv-none"}`, messages.CodeNotFound, "configuration_version_id", "cv-none"},
		"mode that is not available here": {`{"workspace_id":"WS","execution":{"execution_mode":"hybrid"}}`, messages.CodeExecutionInvalid, "execution.execution_mode", "hybrid"},
		"where to execute":                {`{"workspace_id":"WS","execution":{"workdir":"/srv/code"}}`, messages.CodeForbidden, "execution", "role admin"},
		"too large":                       {`{"workspace_id":"WS","message":"` + strings.Repeat("x", messages.MaxRunRequest) + `"}`, messages.CodeTooLarge, "", "at most 262144"},
	} {
		body := strings.ReplaceAll(c.body, "WS", w.Workspace.ID)
		before := len(deadLetters(t, w))
		got := p.Ask(t, []byte(body), messages.HeaderIdempotencyKey, name, "X-Mine", "kept")
		if e := got.Error; e == nil || got.RunID != "" || e.Code != c.code || e.Field != c.field || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: got answer %+v with %+v, want code %s at field %q saying %q", name, got, got.Error, c.code, c.field, c.says)
			continue
		}
		letters := waitLetters(t, w, before+1)
		letter := letters[len(letters)-1]
		if string(letter.Data) != body || letter.Failure != *got.Error || letter.Headers["X-Mine"][0] != "kept" {
			t.Errorf("%s: got dead letter %+v, want the whole message and the answer's reason", name, letter)
		}
	}
	if n := len(runs(t, w)); n != 0 {
		t.Errorf("got %d runs, want none", n)
	}
	if all, _, err := w.DB.Runs(t.Context(), postgres.RunFilter{OrganizationID: other.ID}); err != nil || len(all) != 0 {
		t.Errorf("the other organization's runs: got %v, %v, want none", all, err)
	}
	if got := p.Ask(t, []byte(`{"v":9,"workspace_id":"`+w.Workspace.ID+`"}`)); got.Error != nil {
		t.Errorf("a later version with nothing new in it: got %+v, want a run", got.Error)
	}
}

// waitLetters waits until there are n dead letters: the answer comes before the burial.
func waitLetters(t *testing.T, w *servicestest.World, n int) []messages.DeadLetter {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if got := deadLetters(t, w); len(got) >= n {
			return got
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("got %d dead letters, want %d", len(deadLetters(t, w)), n)
		}
	}
}

// forgetful commits and then fails, as a process does that is killed before it acknowledges.
type forgetful struct {
	intake.Store
	left  atomic.Int32
	calls atomic.Int32
}

func (f *forgetful) CreateRunOnce(ctx context.Context, key string, request []byte, in postgres.NewRun) (string, error) {
	f.calls.Add(1)
	id, err := f.Store.CreateRunOnce(ctx, key, request, in)
	if f.left.Add(-1) >= 0 {
		return "", errors.New("the connection broke after the commit")
	}
	return id, err
}

// TestRedeliveryCreatesOneRun, also for a message without a key of its own.
func TestRedeliveryCreatesOneRun(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	p := newProducer(t, w)
	store := &forgetful{Store: w.DB}
	store.left.Store(2)
	w.Start(intake.New(store, w.Bus, 1, false, nil, w.Log).Run)
	got := p.Ask(t, []byte(`{"workspace_id":"`+w.Workspace.ID+`"}`))
	if all := runs(t, w); len(all) != 1 || all[0].ID != got.RunID {
		t.Errorf("got %d runs and answer %+v, want one run, which is the answer's", len(all), got)
	}
	if n := store.calls.Load(); n != 3 {
		t.Errorf("got %d tries, want 3", n)
	}
}

// TestReplayAfterTheCauseIsGone: the request is carried out then, once, also if it is replayed by two people at once.
func TestReplayAfterTheCauseIsGone(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	p := newProducer(t, w)
	w.Start(intake.New(w.DB, w.Bus, 1, false, nil, w.Log).Run)
	ws, err := w.DB.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "default", Name: "later"})
	if err != nil {
		t.Fatal(err)
	}
	p.Publish(t, []byte(`{"workspace_id":"`+ws.ID+`"}`)) // no key, no answer wanted
	letter := waitLetters(t, w, 1)[0]
	cv, err := w.DB.CreateConfigurationVersion(t.Context(), postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.DB.UploadConfiguration(t.Context(), cv.ID, postgres.InMemory([]byte("an archive"))); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := w.Bus.DeadLetters().Replay(context.WithoutCancel(t.Context()), letter.ID)
			done <- err
		}()
	}
	if a, b := <-done, <-done; a != nil && b != nil {
		t.Fatalf("replay: got %v and %v, want one to succeed", a, b)
	}
	marker := p.Ask(t, []byte(`{"workspace_id":"`+w.Workspace.ID+`"}`)) // everything before it is dealt with
	if marker.Error != nil {
		t.Fatal(marker.Error)
	}
	all, _, err := w.DB.Runs(t.Context(), postgres.RunFilter{WorkspaceID: ws.ID})
	if err != nil || len(all) != 1 {
		t.Errorf("got %d runs, %v, want one", len(all), err)
	}
	if left := deadLetters(t, w); len(left) != 0 {
		t.Errorf("got dead letters %+v, want none left", left)
	}
}

// TestStreamsDeletedByHand come back, and a request that could not be stored is asked again by its producer.
func TestStreamsDeletedByHand(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	p := newProducer(t, w)
	w.Start(intake.New(w.DB, w.Bus, 1, false, nil, w.Log).Run)
	body := []byte(`{"workspace_id":"` + w.Workspace.ID + `"}`)
	if got := p.Ask(t, body); got.Error != nil {
		t.Fatal(got.Error)
	}
	w.NATS.DeleteStream(t, messages.IntakeStream)
	w.NATS.DeleteStream(t, messages.DeadLetterStream)
	if got := p.AskUntilStored(t, body, messages.HeaderIdempotencyKey, "again"); got.Error != nil {
		t.Errorf("after the stream came back: got %+v, want a run", got.Error)
	}
	if got := p.Ask(t, []byte("rubbish")); got.Error == nil {
		t.Error("rubbish: got no error, want one")
	}
	waitLetters(t, w, 1)
}

// TestOneRequestThatFailsHoldsUpNobody: what Postgres cannot store now waits, others go on.
func TestOneRequestThatFailsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	p := newProducer(t, w)
	store := &picky{Store: w.DB, bad: "bad"}
	w.Start(intake.New(store, w.Bus, 1, false, nil, w.Log).Run)
	body, err := json.Marshal(messages.RunRequest{WorkspaceID: w.Workspace.ID})
	if err != nil {
		t.Fatal(err)
	}
	p.Publish(t, body, messages.HeaderIdempotencyKey, store.bad)
	if got := p.Ask(t, body, messages.HeaderIdempotencyKey, "good"); got.Error != nil {
		t.Errorf("got %+v, want a run", got.Error)
	}
	if letters := deadLetters(t, w); len(letters) != 0 {
		t.Errorf("got dead letters %+v, want none: the request may succeed later", letters)
	}
}

type picky struct {
	intake.Store
	bad string
}

func (p *picky) CreateRunOnce(ctx context.Context, key string, request []byte, in postgres.NewRun) (string, error) {
	if key == p.bad {
		return "", errors.New("cannot be stored")
	}
	return p.Store.CreateRunOnce(ctx, key, request, in)
}
