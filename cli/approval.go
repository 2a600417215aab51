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
	out := s.app.env.Stdout
	s.display.progress("", "")
	fmt.Fprintf(out, "\nDo you want to apply this plan in workspace %s?\n"+
		"  Only 'yes' is accepted to approve.\n\n  Enter a value: ", s.name)
	defer fmt.Fprintln(out)
	asked, enough := context.WithCancel(ctx)
	defer enough()
	answer := readLine(asked, s.app.env.Stdin)
	for {
		state, changed, err := s.watch.now()
		if decided(state) || err != nil {
			return state, err
		}
		select {
		case text, ok := <-answer:
			if !ok { // the input has ended
				return state, nil
			}
			if err := s.answer(ctx, text == "yes"); err != nil {
				return state, err
			}
			return s.watch.await(ctx, decided, nil)
		case <-changed:
		case <-ctx.Done():
			return state, context.Cause(ctx)
		}
	}
}

// answer tells the server. A conflict means that somebody else was faster.
func (s *session) answer(ctx context.Context, yes bool) error {
	tell := s.client.DiscardRun
	if yes {
		tell = s.client.ApplyRun
	}
	if err := tell(ctx, s.run.ID); err != nil && !conflict(err) {
		return err
	}
	return nil
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
