package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime/debug"

	"gantry.example/workers/terraform"
)

// gcPercent spares a process that lives for an instant with a heap of a few megabytes most of its garbage collection.
const gcPercent = 400

// Main is a runner process: it waits for one assignment, one line of JSON, on stdin, carries it out, and returns the
// process's exit code. The end of stdin before that means that there is nothing to do, so that a worker can start runners
// ahead of need. Once it has its assignment nothing but the server or SIGTERM (which means cancel) stops it: it does not
// care for its terminal nor for the worker that started it.
func Main(stdin io.Reader, cfg Config) int {
	line, err := bufio.NewReader(stdin).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		cfg.Log.Error("no assignment", "error", err)
		return ExitContract
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return ExitDelivered
	}
	var a Assignment
	if err := json.Unmarshal(line, &a); err != nil {
		cfg.Log.Error("assignment refused", "error", err)
		return ExitContract
	}
	ctx, stop := takeSignals()
	defer stop()
	if err := terraform.BecomeSubreaper(); err != nil {
		cfg.Log.Warn("processes that leave terraform's tree will not be ended with it", "error", err)
	}
	cfg.Dedicated = true
	debug.SetGCPercent(gcPercent)
	return Run(ctx, a, cfg)
}
