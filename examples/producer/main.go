// Command producer asks Gantry for a run by a message and waits for the answer. It is an example to copy: it needs NATS, the
// package messages of Gantry and nothing else.
//
//	GANTRY_PRODUCER_TOKEN=… go run . -organization org-… -workspace ws-… -key deploy-42 -message "nightly plan" -plan-only
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := produce(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
}

func produce(ctx context.Context) error {
	url := flag.String("nats", nats.DefaultURL, "where NATS listens")
	organization := flag.String("organization", "", "id of the organization the token belongs to (org-…)")
	key := flag.String("key", "", "idempotency key: what this run is for, the same whenever it is asked for again")
	var req messages.RunRequest
	flag.StringVar(&req.WorkspaceID, "workspace", "", "id of the workspace to run in (ws-…)")
	flag.StringVar(&req.Message, "message", "", "why, shown with the run")
	flag.BoolVar(&req.Options.PlanOnly, "plan-only", false, "plan and apply nothing")
	flag.BoolVar(&req.Options.AutoApply, "auto-apply", false, "apply without asking anybody")
	flag.Parse()
	if *organization == "" || *key == "" {
		return errors.New("-organization and -key are required")
	}
	req.V = messages.Version

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	nc, err := nats.Connect(*url, nats.Name("example producer"), nats.Token(os.Getenv("GANTRY_PRODUCER_TOKEN")),
		nats.CustomInboxPrefix(messages.ProducerInboxPrefix(*organization)), // the only place the token may listen at
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) { // it would be the same the next time
				giveUp(fmt.Errorf("the token is not one of organization %q with the role write; gantry organizations list shows the id: %w", *organization, err))
			}
		}))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", *url, err)
	}
	defer nc.Close()

	answer, err := ask(ctx, nc, messages.IntakeSubject(*organization), *key, req)
	if err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("refused (%s): %w", answer.Error.Code, answer.Error)
	}
	fmt.Println(answer.RunID)
	return nil
}

// answerWithin is how long an answer may take before the request is sent again. That is safe: one key is one run.
const answerWithin = 5 * time.Second

// ask publishes the request until it is answered or ctx ends.
func ask(ctx context.Context, nc *nats.Conn, subject, key string, req messages.RunRequest) (messages.RunAnswer, error) {
	var answer messages.RunAnswer
	body, err := json.Marshal(req)
	if err != nil {
		return answer, err
	}
	inbox := nc.NewRespInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return answer, err
	}
	for {
		try, cancel := context.WithTimeout(ctx, answerWithin)
		m, err := once(try, nc, answers, subject, key, body)
		cancel()
		if err == nil {
			return answer, json.Unmarshal(m.Data, &answer)
		}
		if cause := context.Cause(ctx); errors.Is(cause, nats.ErrPermissionViolation) {
			return answer, cause
		}
		if ctx.Err() != nil || errors.Is(err, nats.ErrConnectionClosed) {
			return answer, fmt.Errorf("no answer; the request may be stored, ask again under the key %s: %w", key, err)
		}
		fmt.Fprintln(os.Stderr, "producer: not answered yet, asking again:", err)
		if !errors.Is(err, context.DeadlineExceeded) { // refused at once, for example because the stream is full
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// once publishes the request and waits for two things: that the stream has it, and what became of it.
func once(ctx context.Context, nc *nats.Conn, answers *nats.Subscription, subject, key string, body []byte) (*nats.Msg, error) {
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header.Set(messages.HeaderIdempotencyKey, key)
	m.Header.Set(messages.HeaderReplyTo, answers.Subject)
	stored, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("not stored: %w", err)
	}
	var ack struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(stored.Data, &ack); err != nil {
		return nil, err
	}
	if ack.Error != nil {
		return nil, fmt.Errorf("not stored: %s", ack.Error.Description)
	}
	return answers.NextMsgWithContext(ctx)
}
