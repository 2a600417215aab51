package api

import (
	"encoding/json"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// settingOverwrites says of settings whether they are the workspace's own (true) or those of its organization (false).
type settingOverwrites struct {
	ExecutionMode *bool `jsonapi:"attr,execution-mode" json:"execution-mode"`
	AgentPool     *bool `jsonapi:"attr,agent-pool" json:"agent-pool"`
}

// is reports whether something was said, and is that.
func is(said *bool, want bool) bool { return said != nil && *said == want }

// overwrites tells which settings are the workspace's own.
func overwrites(w postgres.Workspace) (map[string]bool, error) {
	var own messages.Execution
	if err := json.Unmarshal(w.Execution, &own); err != nil {
		return nil, err
	}
	return map[string]bool{"execution-mode": own.Mode != "" || w.RunsElsewhere, "agent-pool": own.AgentPool != ""}, nil
}
