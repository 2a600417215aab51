package cli

import (
	"fmt"
	"strings"

	"gantry.example/messages"
)

// readExecution reads an execution document, from stdin if the path is "-", and refuses what the server would refuse. No path
// is no document.
func (a *app) readExecution(path string) (*messages.Execution, error) {
	if path == "" {
		return nil, nil
	}
	text, err := a.readFile(path)
	if err != nil {
		return nil, fmt.Errorf("--execution: %w", err)
	}
	doc, err := messages.ParseExecution(text)
	if err != nil {
		return nil, fmt.Errorf("--execution %s: %w", path, err)
	}
	return &doc, nil
}

// executionText is the document in a few words.
func executionText(e messages.Execution) string {
	parts := []string{string(e.Mode)}
	if e.Mode == "" {
		parts = []string{string(messages.ModeLocal)}
	}
	for _, p := range []struct{ name, value string }{
		{"pool", string(e.AgentPool)}, {"k8s config", string(e.K8sConfig)}, {"namespace", e.Namespace}, {"labels", strings.Join(e.RequiredLabels, ",")}, {"engine", string(e.Engine)},
	} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}

// timeoutsText is what the document says about timeouts.
func timeoutsText(t messages.Timeouts) string {
	var parts []string
	for _, p := range []struct{ name, value string }{
		{"plan", t.Plan}, {"apply", t.Apply}, {"silence", t.Silence}, {"queue", t.Queue}, {"approval", t.Approval},
	} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}
