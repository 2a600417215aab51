package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// input gives the lines of stdin to whoever asks a question. All questions share one reader: a read from a terminal can't
// be taken back, so that a second one would lose the first line to it.
type input struct {
	from  io.Reader
	start sync.Once
	lines chan string
	done  chan struct{} // closed when nobody will ask any more
}

func newInput(from io.Reader) *input {
	return &input{from: from, lines: make(chan string), done: make(chan struct{})}
}

// next returns the channel that delivers lines, and is closed at the end of the input. Nothing is read before the first call.
func (i *input) next() <-chan string {
	i.start.Do(func() {
		go func() { // may stand in a read until the program ends
			defer close(i.lines)
			for text := bufio.NewScanner(i.from); text.Scan(); {
				select {
				case i.lines <- strings.TrimSpace(text.Text()):
				case <-i.done:
					return
				}
			}
		}()
	})
	return i.lines
}

// canAsk reports whether there is somebody to ask.
func (a *app) canAsk() bool { return !a.asJSON() && a.env.StdinTerminal && a.env.StdoutTerminal }

// confirm asks whether to do something that cannot be taken back. yes is the flag that answers before.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	switch {
	case yes:
		return nil
	case !a.canAsk():
		return fmt.Errorf("nobody can be asked without a terminal (%s): say --yes", question)
	}
	fmt.Fprintf(a.env.Stdout, "%s\n  Only 'yes' is accepted.\n\n  Enter a value: ", question)
	select {
	case text := <-a.input.next():
		if text == "yes" {
			return nil
		}
		return &Exit{Code: ExitCanceled, Message: "nothing was done: the answer was not yes"}
	case <-ctx.Done():
		return ctx.Err()
	}
}
