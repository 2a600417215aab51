package messages_test

import (
	"strings"
	"testing"

	"gantry.example/messages"
)

func TestTaskValidateNamesTheField(t *testing.T) {
	t.Parallel()
	good := messages.Task{V: messages.Version, ID: taskID, RunID: runID, WorkspaceID: wsID, OrganizationID: orgID,
		Phase: messages.PhaseApply, Mode: messages.ModeLocal, Pool: messages.LocalPool, Exclusive: true}
	if err := good.Validate(); err != nil {
		t.Fatalf("a good task: got %v, want it valid", err)
	}
	for field, spoil := range map[string]func(*messages.Task){
		"id":           func(m *messages.Task) { m.ID = runID },
		"run_id":       func(m *messages.Task) { m.RunID = "" },
		"workspace_id": func(m *messages.Task) { m.WorkspaceID = "ws-*" },
		"phase":        func(m *messages.Task) { m.Phase = "destroy" },
		"pool":         func(m *messages.Task) { m.Pool = "" },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "field "+field+":") {
			t.Errorf("spoiled %s: got %v, want an error that names the field", field, err)
		}
	}
}

func TestEventValidateNamesTheField(t *testing.T) {
	t.Parallel()
	good := messages.Event{V: messages.Version, Type: "of_a_later_version", AttemptID: attID, RunID: runID, Source: "runner", Seq: 1}
	if err := good.Validate(); err != nil {
		t.Fatalf("a good event of an unknown type: got %v, want it valid", err)
	}
	for field, spoil := range map[string]func(*messages.Event){
		"attempt_id": func(e *messages.Event) { e.AttemptID = "att-" },
		"run_id":     func(e *messages.Event) { e.RunID = wsID },
		"seq":        func(e *messages.Event) { e.Seq = 0 },
		"source":     func(e *messages.Event) { e.Source = "" },
		"type":       func(e *messages.Event) { e.Type = "" },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("spoiled %s: got %v, want an error that names the field", field, err)
		}
	}
}
