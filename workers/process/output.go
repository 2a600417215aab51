package process

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxPassedOn bounds what is passed on of one runner's log; all of it stays in the folder as long as that does.
const maxPassedOn = 1 << 20

// passOn copies what the attempt's runners logged, so that it stands with everything else that was said about the run. What
// is no line of a log, such as the last words of a runner that crashed, becomes one.
func (e *Executor) passOn(a *attempt) {
	if e.cfg.Output == nil {
		return
	}
	for _, path := range []string{a.folder.output() + ".1", a.folder.output()} { // that of a runner before its recovery first
		if err := e.passOnFile(a, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			e.log.Warn("what the runner logged is not here, but in its folder", append(a.ref.LogAttrs(), "file", path, "error", err)...)
		}
	}
}

func (e *Executor) passOnFile(a *attempt, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReader(io.LimitReader(f, maxPassedOn))
	for {
		line, err := lines.ReadString('\n')
		text := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(text, "time=") || strings.HasPrefix(text, `{"time":`):
			if _, err := io.WriteString(e.cfg.Output, text+"\n"); err != nil {
				return err
			}
		case text != "":
			e.log.Warn("the runner printed", append(a.ref.LogAttrs(), "text", text)...)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
