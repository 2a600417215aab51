package queue_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
)

func TestRefusedForGoodIsAcknowledged(t *testing.T) {
	t.Parallel()
	for code, status := range map[messages.Code]int{
		messages.CodeTaskTaken:       http.StatusConflict,
		messages.CodeTaskGone:        http.StatusGone,
		messages.CodeAttemptCanceled: http.StatusConflict,
		messages.CodeNotFound:        http.StatusNotFound,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.answer = func(w http.ResponseWriter, _ wire.ClaimRequest) { refuse(w, status, code) }
			b.run(t, 1)
			b.waitGone(t, b.publish(t, messages.PhasePlan))
			b.stop()
			must(t, <-b.done)
			if got := b.claimed(); len(got) != 1 {
				t.Errorf("got %d claims, want 1", len(got))
			}
			if got := len(b.fake.Started()); got != 0 {
				t.Errorf("got %d starts, want none", got)
			}
			if got, want := claimMetrics(t, b.worker), map[string]float64{string(code): 1}; !cmp.Equal(got, want) {
				t.Errorf("metrics: got %v, want %v", got, want)
			}
		})
	}
}

func TestWithoutAVerdictTheMessageComesAgain(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"not ready":       func(w http.ResponseWriter) { refuse(w, http.StatusConflict, messages.CodeTaskNotReady) },
		"unauthorized":    func(w http.ResponseWriter) { refuse(w, http.StatusUnauthorized, messages.CodeUnauthorized) },
		"no document":     func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"not implemented": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotImplemented) },
		"too many":        busy(http.StatusTooManyRequests),
		"unavailable":     busy(http.StatusServiceUnavailable),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.answer = func(w http.ResponseWriter, r wire.ClaimRequest) {
				if len(b.claimed()) == 1 {
					answer(w)
					return
				}
				b.grant(w, r)
			}
			b.run(t, 1)
			task := b.publish(t, messages.PhaseApply)
			if got, want := b.started(t).AttemptID, attemptOf(task); got != want {
				t.Errorf("started: got %s, want %s", got, want)
			}
			b.waitGone(t, task)
			calls := b.claimed()
			if len(calls) != 2 {
				t.Fatalf("got %d claims, want 2", len(calls))
			}
			if first, second := calls[0].Nonce, calls[1].Nonce; first != second || len(first) < 16 {
				t.Errorf("nonces: got %q then %q, want the same long one", first, second)
			}
			if got := calls[1].at.Sub(calls[0].at); got < time.Second || got > 9*time.Second {
				t.Errorf("the message came again after %v, want 1 s or some more, and before an unsettled one would", got)
			}
		})
	}
}

// busy asks the client to wait for longer than it may, so that it does not try again by itself.
func busy(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "30")
		refuse(w, status, messages.CodeUnavailable)
	}
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answer = func(w http.ResponseWriter, r wire.ClaimRequest) {
		if time.Since(b.claimed()[0].at) < clientBudget {
			panic(http.ErrAbortHandler) // granted, but the connection breaks
		}
		b.grant(w, r)
	}
	b.run(t, 1)
	task := b.publish(t, messages.PhasePlan)
	b.started(t)
	b.waitGone(t, task)
	nonces := map[string]bool{}
	for _, call := range b.claimed() {
		nonces[call.Nonce] = true
	}
	if len(nonces) != 1 {
		t.Errorf("got %d nonces, want one for all claims of the task", len(nonces))
	}
}

func TestWhatIsNoTaskIsBuried(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn, err := b.nats.Connect("test-producer")
	must(t, err)
	defer conn.Close()
	terminated, err := conn.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>")
	must(t, err)
	must(t, conn.Flush())
	b.run(t, 1)
	must(t, conn.Publish(messages.TaskSubject(messages.ModeLocal, messages.LocalPool, messages.AnyLabelSet, "ws-1"), []byte("not a task")))
	advisory, err := terminated.NextMsg(20 * time.Second)
	must(t, err)
	if got, want := string(advisory.Data), "not readable"; !strings.Contains(got, want) {
		t.Errorf("advisory: got %s, want %q in it", got, want)
	}
	letters, err := b.bus.DeadLetters().List(t.Context(), 0, 10)
	must(t, err)
	if len(letters) != 1 || string(letters[0].Data) != "not a task" || !strings.Contains(letters[0].Failure.Message, "not readable") {
		t.Errorf("dead letters: got %+v, want the message with its reason", letters)
	}
	task := b.publish(t, messages.PhasePlan) // its slot is free again
	b.started(t)
	b.waitGone(t, task)
	if got := b.claimed(); len(got) != 1 || got[0].TaskID != task.ID {
		t.Errorf("claims: got %+v, want one of %s", got, task.ID)
	}
	if got, want := claimMetrics(t, b.worker), map[string]float64{"unreadable": 1, "claimed": 1}; !cmp.Equal(got, want) {
		t.Errorf("metrics: got %v, want %v", got, want)
	}
}

func TestSlotsAreFreedByExits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := executortest.NewAttempt(messages.PhaseApply)
	must(t, b.fake.StartApply(t.Context(), before))
	b.started(t)
	b.run(t, 2) // one of which the adopted attempt has
	var tasks []messages.Task
	for range 6 {
		tasks = append(tasks, b.publish(t, messages.PhasePlan))
	}
	b.fake.Finish(b.started(t).AttemptID, 0)
	b.fake.Finish(before.AttemptID, 0)
	for range tasks[1:] {
		b.fake.Finish(b.started(t).AttemptID, 0)
	}
	for _, task := range tasks {
		b.waitGone(t, task)
	}
}

func TestAFullWorkerPullsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := executortest.NewAttempt(messages.PhaseApply)
	must(t, b.fake.StartApply(t.Context(), before))
	b.started(t)
	b.run(t, 1) // see slotChecker
	task := b.publish(t, messages.PhasePlan)
	must(t, b.fake.Cancel(t.Context(), before.AttemptID, false))
	if got, want := b.started(t).AttemptID, attemptOf(task); got != want {
		t.Errorf("started: got %s, want %s", got, want)
	}
}

func TestARunnerThatDoesNotStartIsReported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fake.Refuse(errors.New("disk full"))
	b.run(t, 1)
	task := b.publish(t, messages.PhasePlan)
	wantExit(t, b.nextEvent(t), task, executor.CodeUnknown)
	b.waitGone(t, task)
	b.fake.Refuse(nil)
	b.publish(t, messages.PhasePlan)
	b.started(t) // the slot is free
}

// TestWhatNobodyCanPlaceIsReportedWithItsReason: the server is told not to try again.
func TestWhatNobodyCanPlaceIsReportedWithItsReason(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fake.Refuse(fmt.Errorf("start: %w", &executor.PlacementError{Message: "The image is not allowed."}))
	b.run(t, 1)
	task := b.publish(t, messages.PhasePlan)
	got := b.nextEvent(t)
	if got.AttemptID != attemptOf(task) || !got.Final || got.Message != "The image is not allowed." {
		t.Errorf("event: got %+v, want a final one with the reason", got)
	}
}

// TestAPlacedRunnerMayHoldNoSlot: an executor that counts for itself gets a task after the other, whatever runs.
func TestAPlacedRunnerMayHoldNoSlot(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handsOver = true
	b.run(t, 1)
	for range 3 {
		task := b.publish(t, messages.PhasePlan)
		if got, want := b.started(t).AttemptID, attemptOf(task); got != want {
			t.Errorf("started: got %s, want %s", got, want)
		}
	}
	b.stop()
	must(t, <-b.done)
	if got := b.worker.Busy(); got != 0 {
		t.Errorf("busy: got %d slots, want none", got)
	}
}

func TestOnlyDeadRunnersAreReported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(t, 1)
	for _, code := range []int{0, 70, 0, -1} {
		task := b.publish(t, messages.PhaseApply)
		b.fake.Finish(b.started(t).AttemptID, code)
		if code != 0 {
			wantExit(t, b.nextEvent(t), task, code)
		}
	}
}

func wantExit(t *testing.T, got messages.Event, task messages.Task, code int) {
	t.Helper()
	want := messages.Event{
		V: messages.Version, Type: messages.EventExited, AttemptID: attemptOf(task), RunID: task.RunID, WorkspaceID: task.WorkspaceID,
		Source: "worker", Seq: 1, ExitCode: code,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(messages.Event{}, "At")); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestADuplicateOfARunningTaskChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(t, 2)
	task := b.publish(t, messages.PhasePlan)
	first := b.started(t)
	b.waitGone(t, task)
	must(t, b.bus.PublishTask(t.Context(), task, messages.NewID("m-"), nil))
	b.waitGone(t, task)
	other := b.publish(t, messages.PhasePlan) // needs the slot that the duplicate must not keep
	second := b.started(t)
	if first.AttemptID == second.AttemptID {
		t.Errorf("attempt %s was started twice", first.AttemptID)
	}

	b.fake.Finish(first.AttemptID, 0)
	b.fake.Finish(second.AttemptID, 0)
	for _, task := range []messages.Task{task, other} { // duplicates of exited attempts must not keep slots either
		must(t, b.bus.PublishTask(t.Context(), task, messages.NewID("m-"), nil))
		b.waitGone(t, task)
	}
	b.publish(t, messages.PhasePlan)
	b.started(t)
}

func TestDrainFinishesTheClaimAndLeavesRunnersAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	asked, goOn := make(chan struct{}), make(chan struct{})
	b.answer = func(w http.ResponseWriter, r wire.ClaimRequest) {
		close(asked)
		<-goOn
		b.grant(w, r)
	}
	b.run(t, 4)
	task := b.publish(t, messages.PhaseApply)
	<-asked
	b.stop()
	select {
	case err := <-b.done:
		t.Errorf("Run returned %v while a claim was under way", err)
	default:
	}
	close(goOn)
	must(t, <-b.done)
	a := b.started(t)
	if got, err := b.fake.Status(t.Context(), a.AttemptID); err != nil || got.State != executor.Running {
		t.Errorf("status after the drain: got %+v, %v, want running", got, err)
	}
	if b.queued(t, task) {
		t.Error("the message was not acknowledged")
	}
	next := b.publish(t, messages.PhaseApply)
	if !b.queued(t, next) {
		t.Error("a drained worker took a task")
	}
}

// claimMetrics are the worker's claims by answer, as Prometheus would see them.
func claimMetrics(t *testing.T, worker prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	must(t, registry.Register(worker))
	families, err := registry.Gather()
	must(t, err)
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "gantry_worker_claims_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return got
}
