package messages_test

import (
	"testing"

	"gantry.example/messages"
)

const (
	poolID = "apool-123456789abcdefg"
	wsID   = "ws-123456789abcdefg"
	runID  = "run-123456789abcdefg"
	attID  = "att-123456789abcdefg"
	taskID = "task-123456789abcdefg"
	orgID  = "org-123456789abcdefg"
)

// Names on NATS are a contract with agents of other releases and with operators' permissions: they may never change.
func TestSubjectsAreStable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, got, want string }{
		{"TaskStream", messages.TaskStream(poolID), "TASKS_apool-123456789abcdefg"},
		{"TaskStream of the local pool", messages.TaskStream(messages.LocalPool), "TASKS_local"},
		{"TaskConsumer", messages.TaskConsumer(messages.AnyLabelSet), "q_any"},
		{"TaskSubject", messages.TaskSubject(messages.ModeAgent, poolID, "any", wsID), "task.agent.apool-123456789abcdefg.any.ws-123456789abcdefg"},
		{"TaskFilter", messages.TaskFilter(messages.ModeLocal, messages.LocalPool, "any"), "task.local.local.any.*"},
		{"TaskStreamSubjects", messages.TaskStreamSubjects(messages.ModeK8s, "kcfg-1"), "task.k8s.kcfg-1.>"},
		{"StatusStream", messages.StatusStream, "STATUS"},
		{"StatusSubjects", messages.StatusSubjects, "status.>"},
		{"ProjectorConsumer", messages.ProjectorConsumer, "projector"},
		{"StatusSubject", messages.StatusSubject("local", wsID, runID, attID), "status.local.ws-123456789abcdefg.run-123456789abcdefg.att-123456789abcdefg"},
		{"PoolStatusSubjects", messages.PoolStatusSubjects("local"), "status.local.>"},
		{"LogStream", messages.LogStream, "LOGS"},
		{"LogSubjects", messages.LogSubjects, "logs.>"},
		{"LogConsumer", messages.LogConsumer, "logs"},
		{"LogSubject", messages.LogSubject("local", runID, attID), "logs.local.run-123456789abcdefg.att-123456789abcdefg"},
		{"LeaseBucket", messages.LeaseBucket("local"), "LOCKS_local"},
		{"LeaseStream", messages.LeaseStream("local"), "KV_LOCKS_local"},
		{"LeaseSubject", messages.LeaseSubject("local", wsID), "$KV.LOCKS_local.ws-123456789abcdefg"},
		{"HintSubject", messages.HintSubject(poolID, "agent-7"), "hint.apool-123456789abcdefg.agent-7"},
		{"LoadSubject", messages.LoadSubject(poolID, "agent-7"), "load.apool-123456789abcdefg.agent-7"},
		{"CommandSubject", messages.CommandSubject("local", attID), "cmd.local.att-123456789abcdefg"},
		{"InboxPrefix", messages.InboxPrefix(attID), "_INBOX_att-123456789abcdefg"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
}
