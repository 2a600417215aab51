package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/workers/terraform"
	"gantry.example/workers/terraform/shim"
)

// Program is the name of the program that is a runner and nothing else: it starts fast.
const Program = "gantry-runner"

// Exit codes of a runner in a Pod that has delivered its result: for whoever looks at the Pod. Termination.Delivered tells them
// from the others.
const (
	ExitFailed   = 1
	ExitCanceled = 130
)

// How long a Pod stays to deliver what it could not deliver at once, and the pause between two tries.
const (
	flushLimit = 30 * time.Minute
	flushPause = 5 * time.Second
)

// Termination is what a runner in a Pod leaves as its termination message, because an exit code can be anybody's.
type Termination struct {
	Code      int          `json:"code"`      // of the process
	Delivered bool         `json:"delivered"` // the server has the result
	NotBegun  bool         `json:"not_begun"` // no apply was executed for certain
	Outcome   wire.Outcome `json:"outcome,omitempty"`
	Message   string       `json:"message,omitempty"` // why it was not even begun, for people
}

// PodMain is a runner process in a container made for one attempt. It reads its assignment from the file, asks the API for the
// rest of its inputs, carries the attempt out, stays for a while if the result can't be delivered, and leaves a Termination in
// the file of that name.
func PodMain(assignment, termination string, cfg Config) int {
	a, err := readAssignment(assignment)
	if err != nil {
		cfg.Log.Error("assignment refused", "error", err)
		return ExitContract
	}
	ctx, stop := takeSignals()
	defer stop()
	if err := terraform.BecomeSubreaper(); err != nil {
		cfg.Log.Warn("processes that leave terraform's tree will not be ended with it", "error", err)
	}
	cfg.Dedicated, a.Alone, cfg.Around = true, true, os.Environ()
	code, failed := carryOut(ctx, a, cfg)
	end := conclude(a, code)
	if failed != nil {
		end.Message = strings.ToValidUTF8(failed.Error()[:min(len(failed.Error()), messageLimit)], "")
	}
	b, err := json.Marshal(end)
	if err == nil {
		err = os.WriteFile(termination, b, 0o600)
	}
	if err != nil {
		cfg.Log.Error("no termination message", "error", err)
	}
	return end.Code
}

func readAssignment(path string) (Assignment, error) {
	var a Assignment
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	return a, err
}

// messageLimit is what of a message fits into a termination message, of which the cluster keeps 4 KiB.
const messageLimit = 1 << 10

// carryOut runs the attempt, and delivers what is left for as long as that may take. Its error is why the attempt was not even begun.
func carryOut(ctx context.Context, a Assignment, cfg Config) (code int, err error) {
	if err := completeInputs(ctx, &a); err != nil {
		cfg.Log.Error("attempt not started", "error", err)
		return exitCode(err), err
	}
	code = Run(ctx, a, cfg)
	for until := time.Now().Add(flushLimit); time.Now().Before(until); {
		again, left := Undelivered(a.Dir)
		if !left {
			return code, nil
		}
		select {
		case <-time.After(flushPause):
		case <-ctx.Done():
			return code, nil
		}
		again.Recover = true
		code = Run(ctx, again, cfg)
	}
	return code, nil
}

// completeInputs asks for what is in no Secret: the values of variables.
func completeInputs(ctx context.Context, a *Assignment) error {
	limit := a.withDefaults().SetupLimit
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	transport, err := client.NewTransport(client.Config{Address: a.Address, CACert: []byte(a.CACert), Token: a.Claim.Token, Traceparent: a.Claim.Inputs.Traceparent})
	if err != nil {
		return err
	}
	defer transport.Close()
	in, err := client.NewAttempt(transport, a.Claim.AttemptID, nil).Inputs(ctx)
	if err != nil {
		return remote(err, "the inputs were not given")
	}
	a.Claim.Inputs = in
	return nil
}

// conclude describes the end of the attempt.
func conclude(a Assignment, code int) Termination {
	end := Termination{Code: code, Delivered: code == ExitDelivered}
	if !end.Delivered { // of a delivered one the result says more
		end.NotBegun = !(folder{a.Dir}).has("start") || NoApply(a.Dir, a.Claim.Inputs.Phase)
	}
	if result, err := (folder{a.Dir}).result(); err == nil && result != nil {
		end.Outcome = result.Outcome
	}
	switch {
	case end.Delivered && end.Outcome == wire.OutcomeFailed:
		end.Code = ExitFailed
	case end.Delivered && end.Outcome == wire.OutcomeCanceled:
		end.Code = ExitCanceled
	}
	return end
}

// ReadTermination reads the termination message of a Pod; false if it is none of ours.
func ReadTermination(message string) (Termination, bool) {
	var t Termination
	dec := json.NewDecoder(bytes.NewReader([]byte(message)))
	dec.DisallowUnknownFields()
	return t, dec.Decode(&t) == nil
}

// Install copies this program, which is named Program, and the shim beside it into dir: how a runner comes into an image that knows
// nothing of Gantry.
func Install(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return errors.Join(
		install(self, filepath.Join(dir, Program)),
		install(filepath.Join(filepath.Dir(self), shim.Name), filepath.Join(dir, shim.Name)),
	)
}

func install(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return os.Rename(to+".new", to)
}

// takeSignals makes SIGTERM mean cancel, and lets nothing else stop the process.
func takeSignals() (ctx context.Context, stop func()) {
	// Caught and dropped rather than ignored: what is ignored stays so in terraform and its children.
	dropped := make(chan os.Signal, 1)
	signal.Notify(dropped, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	return ctx, func() {
		end()
		signal.Stop(dropped)
	}
}
