// Package intake carries out the run requests that producers publish on NATS: the same run as the API creates, in one
// transaction, acknowledged after its commit. A request that is delivered again, or sent again under the same key, creates
// no second run.
//
//	pull ─▶ parse ─▶ create (one transaction) ─▶ answer ─▶ acknowledge
//	          └──────────┴ refused: answer with the reason ─▶ dead letter
//	                     └ no answer from Postgres: again in 0.25 to 30 s
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/failpoint"
	"gantry.example/internal/telemetry"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

const (
	batch = 64
	wait  = 2 * time.Second
	retry = 250 * time.Millisecond
	// maxRetry is how long a request waits at most before it is tried again.
	maxRetry = 30 * time.Second
	// ensureEvery is how often the streams are made again in case an operator deleted them.
	ensureEvery = time.Minute
)

// source is the source of runs that producers asked for.
const source = "gantry-intake"

// Store creates a run at most once per organization of the run and key, and returns its id. It is called from one goroutine
// per process. A refusal for good is a *postgres.Error, *messages.FieldError or *messages.Failure; anything else may be
// tried again.
type Store interface {
	CreateRunOnce(ctx context.Context, key string, request []byte, in postgres.NewRun) (string, error)
}

// Intake reads the INTAKE stream. Several may run: each request goes to one of them. Requests are carried out in the order
// in which they came, save those that had to be tried again.
type Intake struct {
	store    Store
	bus      *bus.Bus
	replicas int
	traces   bool
	fail     *failpoint.Points
	log      *slog.Logger
}

// New returns an intake; replicas is that of the streams it creates when they are missing. With traces a trace begins for
// every run; a producer's own is continued either way.
func New(store Store, b *bus.Bus, replicas int, traces bool, fail *failpoint.Points, log *slog.Logger) *Intake {
	return &Intake{store: store, bus: b, replicas: replicas, traces: traces, fail: fail, log: log}
}

// Run takes requests until ctx ends.
func (i *Intake) Run(ctx context.Context) error {
	reader := i.bus.IntakeReader()
	ensured := time.Time{}
	for ctx.Err() == nil {
		if time.Since(ensured) > ensureEvery { // without INTAKE producers cannot even ask, without DEADLETTERS workers cannot bury
			if err := i.ensure(ctx); err == nil {
				ensured = time.Now()
			}
		}
		deliveries, err := reader.FetchBatch(ctx, batch, wait)
		for _, d := range deliveries {
			err = errors.Join(err, i.take(ctx, d)) // one that fails must not hold up the others
		}
		if errors.Is(err, bus.ErrNoStream) {
			err = errors.Join(err, i.ensure(ctx))
		}
		if err != nil && ctx.Err() == nil {
			i.log.Warn("run requests: not all could be carried out, trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
		}
	}
	return nil
}

func (i *Intake) ensure(ctx context.Context) error {
	return errors.Join(i.bus.EnsureIntake(ctx, i.replicas), i.bus.EnsureDeadLetters(ctx, i.replicas))
}

// take carries out one request and settles its message.
func (i *Intake) take(ctx context.Context, d bus.IntakeDelivery) error {
	id, err := i.create(ctx, d)
	if err == nil {
		i.fail.Hit("intake.committed")
		i.answer(d, messages.RunAnswer{RunID: id})
		return d.Ack(ctx)
	}
	failure, final := refusal(err)
	if !final {
		return errors.Join(fmt.Errorf("run request %s of organization %s: %w", d.Key, d.OrganizationID, err), d.NakWithDelay(delay(d.Deliveries)))
	}
	i.log.Warn("run request refused, kept as a dead letter", "organization", d.OrganizationID, "key", d.Key, "code", failure.Code, "error", failure.Error())
	// The answer first: heard twice it does no harm, and after the burial nobody would send it any more.
	i.answer(d, messages.RunAnswer{Error: &failure})
	return d.Bury(ctx, failure)
}

func (i *Intake) create(ctx context.Context, d bus.IntakeDelivery) (string, error) {
	if d.Err != nil {
		return "", d.Err
	}
	if len(d.Data) > messages.MaxRunRequest {
		return "", &messages.Failure{Code: messages.CodeTooLarge,
			Message: fmt.Sprintf("the run request has %d bytes, at most %d are taken", len(d.Data), messages.MaxRunRequest)}
	}
	in, err := postgres.ParseRequest(d.Data)
	if err != nil {
		return "", err
	}
	in.OrganizationID, in.Source, in.CreatedBy = d.OrganizationID, source, "a producer"
	if need := in.Needs(); !postgres.RoleWrite.Covers(need) {
		return "", &messages.Failure{Code: messages.CodeForbidden, Field: "execution",
			Message: "where a run executes is for the organization's admins to say: set it on the workspace, or ask over HTTP with a token that has the role " + string(need)}
	}
	in.Traceparent, in.TraceParentSpan = telemetry.NewRun(d.Headers[telemetry.Header], i.traces)
	return i.store.CreateRunOnce(ctx, d.Key, d.Data, in)
}

// answer tells the producer, if it wants to hear. What cannot be told is not kept back: it can ask again.
func (i *Intake) answer(d bus.IntakeDelivery, a messages.RunAnswer) {
	if d.ReplyTo == "" {
		return
	}
	a.V, a.IdempotencyKey = messages.Version, d.Key
	if err := i.bus.Answer(d.ReplyTo, a); err != nil {
		i.log.Warn("run request: producer not answered", "organization", d.OrganizationID, "key", d.Key, "error", err)
	}
}

// refusal is what the producer is told of an error, and whether asking again is in vain.
func refusal(err error) (f messages.Failure, final bool) {
	var failure *messages.Failure
	var field *messages.FieldError
	var coded *postgres.Error
	switch {
	case errors.As(err, &failure):
		f = *failure
	case errors.As(err, &field): // of the documents that were merged
		f = messages.Failure{Code: field.Code, Field: "execution." + field.Path, Message: field.Problem}
	case errors.As(err, &coded):
		f = messages.Failure{Code: coded.Code, Field: coded.Field, Message: coded.Message}
	}
	return f, f.Code != "" && f.Code != messages.CodeInternal && f.Code != messages.CodeUnavailable
}

// delay grows with every try.
func delay(deliveries int) time.Duration {
	return min(retry<<min(max(deliveries-1, 0), 10), maxRetry)
}

var _ Store = (*postgres.DB)(nil)
