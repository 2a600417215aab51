package wire_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// firstInputs are inputs as the first servers sent them.
const firstInputs = `{"attempt_id":"att-1","task_id":"task-1","run_id":"run-1","workspace_id":"ws-1","workspace_name":"network","organization_id":"org-1",
	"organization_name":"default","phase":"plan","exclusive":true,"pool":"apool-1","epoch":4,"execution":{"execution_mode":"agent","agent_pool_id":"apool-1"},
	"options":{},"base":{"serial":0},"lease_ttl_seconds":15,"grace_seconds":60}`

// What an agent and a server of different versions say to each other. The texts are those of released versions and never change;
// a field of a later version is one that is not known.
func TestAgentsAndServersOfDifferentVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text      string
		got, want any
	}{
		"status of the first workers": {
			`{"v":1,"name":"local-host","slots":2,"busy":1,"refusing":"disk"}`,
			&wire.WorkerStatus{}, &wire.WorkerStatus{V: 1, Name: "local-host", Slots: 2, Busy: 1, Refusing: "disk"},
		},
		"status of the first agents": {
			`{"v":1,"name":"a","slots":2,"busy":1,"labels":["aws"],"version":"v1.0.0","state":"draining","runs":["run-1"],"instance":"X"}`,
			&wire.WorkerStatus{}, &wire.WorkerStatus{V: 1, Name: "a", Slots: 2, Busy: 1, Labels: []string{"aws"}, Version: "v1.0.0",
				State: wire.WorkerDraining, Runs: []string{"run-1"}, Instance: "X"},
		},
		"status of a later agent": {
			`{"v":1,"name":"a","slots":2,"busy":0,"after":"W","mood":{"good":true}}`,
			&wire.WorkerStatus{}, &wire.WorkerStatus{V: 1, Name: "a", Slots: 2, After: "W"},
		},
		"orders of the first servers": {`{}`, &wire.WorkerOrders{}, &wire.WorkerOrders{}},
		"orders of a later server": {
			`{"drain":true,"label_sets":[["aws"]],"rival":"192.0.2.7","upgrade":"v2.0.0"}`,
			&wire.WorkerOrders{}, &wire.WorkerOrders{Drain: true, LabelSets: [][]string{{"aws"}}, Rival: "192.0.2.7"},
		},
		"pool of the first servers": {
			`{"id":"apool-1","name":"aws","organization":"default","version":"v1.0.0"}`,
			&wire.PoolInfo{}, &wire.PoolInfo{ID: "apool-1", Name: "aws", Organization: "default", Version: "v1.0.0"},
		},
		"pool of a later server": {
			`{"id":"apool-1","name":"aws","version":"v1.2.0","time":"2026-11-28T23:00:00Z","region":"eu"}`,
			&wire.PoolInfo{}, &wire.PoolInfo{ID: "apool-1", Name: "aws", Version: "v1.2.0", Time: time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC)},
		},
		"claim of the first agents": {
			`{"v":1,"task_id":"task-1","worker":"a","nonce":"n"}`,
			&wire.ClaimRequest{}, &wire.ClaimRequest{V: 1, TaskID: "task-1", Worker: "a", Nonce: "n"},
		},
		"claim by the first servers": {
			`{"attempt_id":"att-1","number":1,"epoch":4,"token":"t","start_deadline":"2026-11-28T23:00:00Z","inputs":` + firstInputs + `}`,
			&wire.Claim{}, &wire.Claim{
				AttemptID: "att-1", Number: 1, Epoch: 4, Token: "t", StartDeadline: time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC),
				Inputs: wire.Inputs{AttemptID: "att-1", TaskID: "task-1", RunID: "run-1", WorkspaceID: "ws-1", WorkspaceName: "network", OrganizationID: "org-1",
					OrganizationName: "default", Phase: messages.PhasePlan, Exclusive: true, Pool: "apool-1", Epoch: 4,
					Execution: messages.Execution{Mode: messages.ModeAgent, AgentPool: "apool-1"}, LeaseTTLSeconds: 15, GraceSeconds: 60},
			},
		},
		"inputs of a later server": {
			`{"attempt_id":"att-1","lease_ttl_seconds":60,"cpu_limit":2,"execution":{"execution_mode":"agent","agent_pool_id":"apool-1"}}`,
			&wire.Inputs{}, &wire.Inputs{AttemptID: "att-1", LeaseTTLSeconds: 60, Execution: messages.Execution{Mode: messages.ModeAgent, AgentPool: "apool-1"}},
		},
		"start of the first runners": {
			`{"v":1,"nonce":"n","base":{"serial":3,"lineage":"l"}}`,
			&wire.StartRequest{}, &wire.StartRequest{V: 1, Nonce: "n", Base: wire.StateRef{Serial: 3, Lineage: "l"}},
		},
		"result of the first runners": {
			`{"v":1,"outcome":"canceled","code":"run.canceled","message":"m","log_size":3,"log_sha256":"abc"}`,
			&wire.Result{}, &wire.Result{V: 1, Outcome: wire.OutcomeCanceled, Code: messages.CodeRunCanceled, Message: "m", LogSize: 3, LogSHA256: "abc"},
		},
		"result of a later runner": {
			`{"v":1,"outcome":"failed","code":"run.of_later","log_size":3,"phases":{"apply":7,"polish":1},"cost":"high"}`,
			&wire.Result{}, &wire.Result{V: 1, Outcome: wire.OutcomeFailed, Code: "run.of_later", LogSize: 3, Phases: map[messages.Stage]int64{"apply": 7, "polish": 1}},
		},
		"answer of the first servers to a result": {`{}`, &wire.ResultAnswer{}, &wire.ResultAnswer{}},
	} {
		if err := json.NewDecoder(strings.NewReader(c.text)).Decode(c.got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
