package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"gantry.example/client"
)

// decide returns the run as it is after it was approved or discarded, here or by somebody else. A run that still is
// planned waits for somebody else.
func (s *session) decide(ctx context.Context) (client.RunState, error) {
	decided := not(statusIn(client.Planned))
	if s.run.AutoApply {
		return s.watch.await(ctx, decided, s.progress)
	}
	state, _, _ := s.watch.now()
	if s.app.asJSON() || !s.app.env.StdinTerminal || !s.app.env.StdoutTerminal {
		return state, nil
	}
	s.display.progress("")
	fmt.Fprintf(s.app.env.Stdout, "\nDo you want to apply this plan in workspace %s?\n"+
		"  Only 'yes' is accepted to approve.\n\n  Enter a value: ", s.name)
	asked, enough := context.WithCancel(ctx)
	defer enough()
	answer := readLine(asked, s.app.env.Stdin)
	elsewhere := make(chan struct{})
	go func() {
		defer close(elsewhere)
		_, _ = s.watch.await(asked, decided, nil) // its end is looked at below
	}()
	var err error
	select {
	case text, ok := <-answer:
		fmt.Fprintln(s.app.env.Stdout)
		switch {
		case !ok: // the input has ended
			err = errNoAnswer
		case text == "yes":
			err = s.client.ApplyRun(ctx, s.run.ID)
		default:
			err = s.client.DiscardRun(ctx, s.run.ID)
		}
	case <-elsewhere:
		fmt.Fprintln(s.app.env.Stdout)
	}
	enough()
	<-elsewhere
	if err == errNoAnswer { //nolint:errorlint // it is set right above
		return state, nil
	}
	if err != nil && !conflict(err) { // a conflict: somebody else was faster
		return state, err
	}
	return s.watch.await(ctx, decided, s.progress)
}

// readLine delivers one line, or closes the channel when there is none. A read from a terminal cannot be stopped: its
// goroutine may outlive the question and ends with the program.
func readLine(ctx context.Context, from io.Reader) <-chan string {
	line := make(chan string)
	go func() {
		defer close(line)
		text, err := bufio.NewReader(from).ReadString('\n')
		if err != nil && text == "" {
			return
		}
		select {
		case line <- strings.TrimSpace(text):
		case <-ctx.Done():
		}
	}()
	return line
}
