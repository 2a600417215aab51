package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"gantry.example/client"
)

// runView is a run as -o json shows it.
type runView struct {
	client.Run
	Organization string                `json:"organization"`
	Workspace    string                `json:"workspace"`
	URL          string                `json:"url"`
	Plan         *client.Phase         `json:"plan,omitempty"`
	Apply        *client.Phase         `json:"apply,omitempty"`
	Waiting      *client.Waiting       `json:"waiting,omitempty"`
	Condition    *client.Condition     `json:"condition,omitempty"` // while its runner is lost
	Logs         []client.LogCheck     `json:"logs,omitempty"`
	Outputs      map[string]outputView `json:"outputs,omitempty"`
}

type outputView struct {
	Value     json.RawMessage `json:"value"` // null if it is sensitive
	Sensitive bool            `json:"sensitive"`
}

func viewRun(c *client.Client, n workspaceName, run client.Run) runView {
	return runView{Run: run, Organization: n.organization, Workspace: n.name, URL: page(c, n, run.ID)}
}

// finish prints the end of the run and maps it to an exit code.
func (s *session) finish(ctx context.Context, state client.RunState) error {
	s.display.progress("", "")
	var outputs []client.Output
	if state.Status == client.Applied || state.Status == client.Finished && !s.run.PlanOnly {
		var err error
		if outputs, err = s.client.Outputs(ctx, s.run.WorkspaceID); err != nil {
			s.display.note("The outputs of workspace %s could not be read: %v", s.name, err)
		}
	}
	if s.app.asJSON() {
		if err := s.showJSON(ctx, outputs); err != nil {
			return err
		}
	} else {
		s.showText(state, outputs)
	}
	return s.verdict(state)
}

func (s *session) showJSON(ctx context.Context, outputs []client.Output) error {
	run, err := s.client.Run(ctx, s.run.ID)
	if err != nil {
		return err
	}
	view := viewRun(s.client, s.name, run)
	view.Outputs = map[string]outputView{}
	for _, o := range outputs {
		view.Outputs[o.Name] = outputView{Value: o.Value, Sensitive: o.Sensitive}
	}
	return s.app.show(view, nil)
}

func (s *session) showText(state client.RunState, outputs []client.Output) {
	out := s.app.env.Stdout
	if len(outputs) > 0 && !s.printed.seen {
		fmt.Fprintln(out, "\nOutputs:")
		fmt.Fprintln(out)
		for _, o := range outputs {
			fmt.Fprintf(out, "%s = %s\n", o.Name, outputText(o))
		}
	}
	fmt.Fprintln(out)
	if text := s.summary(state); text != "" {
		fmt.Fprintln(out, text)
	}
	fmt.Fprintln(out, page(s.client, s.name, s.run.ID))
}

func (s *session) summary(state client.RunState) string {
	switch {
	case state.Status == client.Applied:
		return fmt.Sprintf("Run %s is applied.", s.run.ID)
	case state.Status == client.Finished && s.run.PlanOnly && !state.HasChanges:
		return fmt.Sprintf("Run %s found no changes. It was plan-only.", s.run.ID)
	case state.Status == client.Finished && s.run.PlanOnly:
		return fmt.Sprintf("Run %s is planned; it was plan-only, so nothing is applied.", s.run.ID)
	case state.Status == client.Finished:
		return fmt.Sprintf("Run %s found no changes: nothing to apply.", s.run.ID)
	case state.Status == client.Discarded:
		return fmt.Sprintf("Run %s was discarded.", s.run.ID)
	case state.Status == client.Canceled, state.Status == client.ForceCancel:
		return fmt.Sprintf("Run %s was canceled.", s.run.ID)
	case state.Status == client.Planned:
		return fmt.Sprintf("Run %s waits for approval: gantry runs apply %[1]s, or gantry runs discard %[1]s", s.run.ID)
	default:
		return ""
	}
}

// verdict is nil for a run that did what it was to do.
func (s *session) verdict(state client.RunState) error {
	switch state.Status {
	case client.Applied, client.Finished:
		if s.detailed && state.HasChanges {
			return &Exit{Code: ExitChanges}
		}
		return nil
	case client.Discarded, client.Canceled, client.ForceCancel:
		return &Exit{Code: ExitCanceled}
	case client.Planned:
		return &Exit{Code: ExitWaiting}
	default:
		why := state.Failure
		if why == "" {
			why = "its log says why"
		}
		return fmt.Errorf("run %s in workspace %s %s: %s", s.run.ID, s.name, state.Status, withCode(why, state.Code))
	}
}

// withCode is why a run failed, with the code that says so to programs, if it has one.
func withCode(why, code string) string {
	if code == "" {
		return why
	}
	return why + " (" + code + ")"
}

// outputsSeen passes a log on and notices whether Terraform printed the outputs itself.
type outputsSeen struct {
	to   io.Writer
	tail []byte
	seen bool
}

func (o *outputsSeen) Write(b []byte) (int, error) {
	const heading = "\nOutputs:\n"
	recent := append(o.tail, b...)
	o.seen = o.seen || bytes.Contains(recent, []byte(heading))
	o.tail = append([]byte(nil), recent[max(0, len(recent)-len(heading)):]...)
	return o.to.Write(b)
}
