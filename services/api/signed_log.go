package api

import (
	"context"
	"slices"
	"strconv"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// The log of a phase as clients see it is one row of bytes: STX, what terraform printed, ETX. It only ever grows at its
// end, and a client reads any range of it.
const (
	stx = 0x02
	etx = 0x03

	defaultLogLimit = 64 << 10
	maxLogLimit     = 1 << 20
	// logWait is how long an empty answer is held back. Terraform's CLI can't ask for that (it replaces the query) and pauses
	// for up to two seconds after each empty answer, so who does not want to wait says so: wait=0.
	logWait = 10 * time.Second
)

// logRange is what a client asks for.
type logRange struct {
	run    string
	phase  messages.Phase
	offset int64
	limit  int
}

// logPart is what there is of it.
type logPart struct {
	data []byte
	over bool   // nothing will follow data
	task string // whose log it is, or "" while there is none
}

// says reports whether the part has more than the STX, which alone is as good as nothing to Terraform's CLI.
func (p logPart) says(want logRange) bool {
	return len(p.data) > 1 || len(p.data) == 1 && (want.offset > 0 || want.limit == 1)
}

func (s *Server) readLog(r *request) (reply, error) {
	want, err := r.logRange()
	if err != nil {
		return reply{}, err
	}
	var part logPart
	if r.URL.Query().Get("wait") == "0" {
		part, err = s.logPart(r.Context(), want)
	} else {
		part, err = s.awaitLog(r, want)
	}
	if err != nil {
		return reply{}, err
	}
	if part.data == nil {
		part.data = []byte{}
	}
	return reply{body: part.data, kind: "text/plain; charset=utf-8"}, nil
}

func (r *request) logRange() (logRange, error) {
	out := logRange{run: r.PathValue("run"), phase: messages.Phase(r.PathValue("phase"))}
	limit := int64(defaultLogLimit)
	for _, f := range []struct {
		name  string
		to    *int64
		least int64
	}{{"offset", &out.offset, 0}, {"limit", &limit, 1}} {
		text := r.URL.Query().Get(f.name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < f.least {
			return out, invalid("query parameter %s: %q is not a number of bytes from %d on", f.name, text, f.least)
		}
		*f.to = n
	}
	out.limit = int(min(limit, maxLogLimit))
	return out, nil
}

// awaitLog is logPart, but holds an empty answer back until there is something, nothing will be, or logWait is over.
func (s *Server) awaitLog(r *request, want logRange) (logPart, error) {
	ctx, cancel := s.untilStop(r)
	defer cancel()
	patience := time.NewTimer(logWait)
	defer patience.Stop()
	changed, stop := s.notifier.Subscribe(postgres.ChannelEvents, want.run)
	defer stop()
	var grown <-chan struct{} // nil until the task is known
	for {
		part, err := s.logPart(ctx, want)
		if err != nil || part.says(want) || part.over {
			return part, err
		}
		if grown == nil && part.task != "" {
			var stop func()
			grown, stop = s.notifier.Subscribe(postgres.ChannelLogs, part.task)
			defer stop()
			continue // what came before the subscription
		}
		select {
		case <-grown:
		case <-changed:
		case <-patience.C:
			return s.logPart(ctx, want) // what no notification told of
		case <-ctx.Done():
			return part, nil
		}
	}
}

// logPart reads the range of what exists.
func (s *Server) logPart(ctx context.Context, want logRange) (logPart, error) {
	of, err := s.db.Run(ctx, want.run)
	if err != nil {
		return logPart{}, err
	}
	task := of.Task(want.phase)
	if task == nil {
		if !of.Status.Final() {
			return logPart{}, nil
		}
		return frame(postgres.LogPart{Ended: true}, want), nil // the phase never comes: an empty log
	}
	inner := want.inner()
	p, err := s.db.ReadLog(ctx, task.ID, inner.offset, inner.limit)
	if err != nil {
		return logPart{}, err
	}
	if p.Ended {
		p = epilogue(p, of, want)
	}
	part := frame(p, want)
	part.task = task.ID
	return part, nil
}

// epilogue adds to the end of a log what the server, not the runner, decided about its run: Terraform's CLI shows nothing but
// the log. It stands behind the three lines that the CLI leaves out, also where there is no log at all.
func epilogue(p postgres.LogPart, of run.Run, want logRange) postgres.LogPart {
	last := of.Tasks()[len(of.Tasks())-1]
	verdicts := []messages.Code{
		messages.CodeRunPlanStale, messages.CodeRunNeverStarted, messages.CodeRunLost, messages.CodeRunOutcomeUnknown, messages.CodeRunTimedOut,
	}
	if last.Phase != want.phase || !slices.Contains(verdicts, of.Code) {
		return p
	}
	text := "\n\n\nGantry: " + of.Failure + "\n"
	inner := want.inner()
	if from := max(inner.offset-p.Size, 0); from < int64(len(text)) {
		room := max(inner.limit-len(p.Data), 0)
		p.Data = append(p.Data, text[from:min(from+int64(room), int64(len(text)))]...)
	}
	p.Size += int64(len(text))
	return p
}

// inner is the range without the STX.
func (w logRange) inner() logRange {
	if w.offset == 0 {
		w.limit--
	} else {
		w.offset--
	}
	return w
}

// frame puts STX and ETX around the part of the log that was read for the range.
func frame(p postgres.LogPart, want logRange) logPart {
	var out logPart
	if want.offset == 0 {
		out.data = append(out.data, stx)
	}
	out.data = append(out.data, p.Data...)
	end := want.offset + int64(len(out.data))
	if p.Ended && end == 1+p.Size && len(out.data) < want.limit {
		out.data = append(out.data, etx)
	}
	out.over = p.Ended && want.offset+int64(len(out.data)) >= 2+p.Size
	return out
}
