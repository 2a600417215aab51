package messages_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"gantry.example/messages"
)

// The files of testdata/v1 are messages as the first release sends them, some with a field of a later one. They must decode
// forever: a new release adds files and never changes one.

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "v1", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode[T any](t *testing.T, file string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(read(t, file), &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

func wantEqual(t *testing.T, file string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", file, got, want)
	}
}

func TestGoldenTasks(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for file, c := range map[string]struct {
		want         messages.Task
		key, subject string
	}{
		"task_plan.json": {
			messages.Task{V: 1, ID: taskID, RunID: runID, WorkspaceID: wsID, OrganizationID: orgID, Phase: messages.PhasePlan, Mode: messages.ModeAgent,
				Pool: poolID, Labels: []string{"aws", "production"}, Exclusive: true, QueuedAt: at.Add(500 * time.Millisecond)},
			wsID, "task.agent.apool-123456789abcdefg.257rl4xyyenejehj.ws-123456789abcdefg",
		},
		"task_strategy.json": {
			messages.Task{V: 1, ID: taskID, RunID: runID, WorkspaceID: wsID, OrganizationID: orgID, Phase: messages.PhaseApply, Mode: messages.ModeAgent,
				Pool: poolID, Strategy: messages.LeastBusy, Exclusive: true, QueuedAt: at},
			wsID, "task.agent.apool-123456789abcdefg.any.ws-123456789abcdefg",
		},
		"task_plan_only.json": {
			messages.Task{V: 1, ID: taskID, RunID: runID, WorkspaceID: wsID, OrganizationID: orgID, Phase: messages.PhasePlan, Mode: messages.ModeLocal,
				Pool: messages.LocalPool, QueuedAt: at},
			runID, "task.local.local.any.run-123456789abcdefg",
		},
	} {
		got := decode[messages.Task](t, file)
		got.QueuedAt = got.QueuedAt.UTC()
		wantEqual(t, file, got, c.want)
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if got.Key() != c.key || got.Subject() != c.subject {
			t.Errorf("%s: got key %q, subject %q, want %q, %q", file, got.Key(), got.Subject(), c.key, c.subject)
		}
	}
}

func TestGoldenEvents(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	base := messages.Event{V: 1, AttemptID: attID, RunID: runID, WorkspaceID: wsID}
	progress, exited := base, base
	progress.Type, progress.Source, progress.Seq, progress.At, progress.Stage = messages.EventProgress, "runner", 2, at.Add(time.Second), messages.StageInit
	exited.Type, exited.Source, exited.Seq, exited.At, exited.ExitCode = messages.EventExited, "worker", 1, at.Add(9*time.Second), -1
	final := exited
	final.Message, final.Final = "image terraform:9 is not there", true
	for file, c := range map[string]struct {
		want messages.Event
		id   string
	}{
		"event_progress.json":     {progress, "att-123456789abcdefg/runner/2"},
		"event_exited.json":       {exited, "att-123456789abcdefg/worker/1"},
		"event_exited_final.json": {final, "att-123456789abcdefg/worker/1"},
	} {
		got := decode[messages.Event](t, file)
		wantEqual(t, file, got, c.want)
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if got.ID() != c.id {
			t.Errorf("%s: got id %q, want %q", file, got.ID(), c.id)
		}
	}
}

func TestGoldenCommandsAndLease(t *testing.T) {
	t.Parallel()
	wantEqual(t, "command_cancel.json", decode[messages.Command](t, "command_cancel.json"), messages.Command{V: 1, AttemptID: attID, Cancel: true})
	wantEqual(t, "hint.json", decode[messages.Hint](t, "hint.json"), messages.Hint{V: 1, ID: "h-7", Labels: []string{"aws", "gpu"}, Fresh: true})
	wantEqual(t, "load.json", decode[messages.Load](t, "load.json"),
		messages.Load{V: 1, Slots: 5, Busy: 2, Labels: []string{"aws", "gpu"}, Refusing: true, Hint: "h-7"})
	wantEqual(t, "command_force.json", decode[messages.Command](t, "command_force.json"), messages.Command{V: 1, AttemptID: attID, Cancel: true, Force: true})
	// The epoch is above 2^53: it must not pass through a float.
	wantEqual(t, "lease.json", decode[messages.Lease](t, "lease.json"),
		messages.Lease{V: 1, AttemptID: attID, RunID: runID, Epoch: 1<<53 + 1, Holder: "runner-7 pid 4711", Nonce: "6f1d"})
}

func TestGoldenExecutions(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]messages.Execution{
		"execution_local.json": {Mode: messages.ModeLocal, TerraformVersion: "1.11.4", Workdir: "modules/network"},
		"execution_agent.json": {Mode: messages.ModeAgent, Engine: messages.EngineOpenTofu, AgentPool: "1", Strategy: messages.LeastBusy,
			RequiredLabels: []string{"production", "aws"}},
		"execution_k8s.json": {Mode: messages.ModeK8s, K8sConfig: "kcfg-123456789abcdefg", Namespace: "iac-platform",
			PodTemplate: &messages.PodTemplate{Image: "registry.example/terraform:1.11.4", ServiceAccount: "terraform", ImagePullSecrets: []string{"registry"},
				Resources: &messages.Resources{Requests: map[string]string{"cpu": "500m", "memory": "512Mi"}, Limits: map[string]string{"cpu": "1", "memory": "1Gi"}}}},
	} {
		got, err := messages.ParseExecution(read(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		wantEqual(t, file, got, want)
	}
}

func TestGoldenRunRequests(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]messages.RunRequest{
		"run_request_minimal.json": {WorkspaceID: wsID},
		"run_request_full.json": {V: 1, WorkspaceID: wsID, ConfigurationVersionID: "cv-123456789abcdefg", Message: "nightly drift check",
			Options: messages.RunOptions{PlanOnly: true, Destroy: true, SkipRefresh: true, TargetAddrs: []string{"module.a"},
				ReplaceAddrs: []string{"null_resource.b"}, Variables: []messages.RunVariable{{Key: "region", Value: `"eu-west-1"`}}},
			Execution: messages.Execution{Mode: messages.ModeLocal, TerraformVersion: "1.11.4"}},
		"run_request_later_version.json": {V: 2, WorkspaceID: wsID, Options: messages.RunOptions{AutoApply: true, RefreshOnly: true}},
	} {
		got, err := messages.ParseRunRequest(read(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		wantEqual(t, file, got, want)
	}
	wantEqual(t, "run_answer_created.json", decode[messages.RunAnswer](t, "run_answer_created.json"),
		messages.RunAnswer{V: 1, IdempotencyKey: "deploy-42", RunID: runID})
	wantEqual(t, "run_answer_refused.json", decode[messages.RunAnswer](t, "run_answer_refused.json"),
		messages.RunAnswer{V: 1, IdempotencyKey: "deploy-42", Error: &messages.Failure{Code: messages.CodeInvalid, Field: "options.plan-only", Message: "unknown field"}})
}

func TestGoldenDeadLetter(t *testing.T) {
	t.Parallel()
	wantEqual(t, "dead_letter.json", decode[messages.DeadLetter](t, "dead_letter.json"), messages.DeadLetter{
		V: 1, Subject: messages.IntakeSubject(orgID), Stream: messages.IntakeStream, Sequence: 7, At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Failure: messages.Failure{Code: messages.CodeInvalid, Message: "the run request is not JSON: unexpected end of JSON input"},
		Headers: map[string][]string{messages.HeaderIdempotencyKey: {"deploy-42"}}, Data: []byte("{"), Size: 1,
	})
}
