package cli

import (
	"fmt"
	"os"
	"strings"

	"gantry.example/messages"
)

// readExecution reads an execution document and refuses what the server would refuse. No path is no document.
func readExecution(path string) (*messages.Execution, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
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
		{"pool", string(e.AgentPool)}, {"labels", strings.Join(e.RequiredLabels, ",")}, {"engine", string(e.Engine)},
	} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}
