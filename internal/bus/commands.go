package bus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

// AnyAttempt subscribes to the commands of all attempts of a pool, which a worker may do.
const AnyAttempt = "*"

// PublishCommand tells an attempt something. It is not stored: nobody may be listening, so the caller repeats it until the
// attempt confirms by ending.
func (b *Bus) PublishCommand(ctx context.Context, pool string, c messages.Command) error {
	body, err := json.Marshal(c)
	if err == nil {
		err = b.nc.Publish(messages.CommandSubject(pool, c.AttemptID), body)
	}
	if err == nil {
		ctx, cancel := bounded(ctx)
		defer cancel()
		err = b.nc.FlushWithContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("command to attempt %s: %w", c.AttemptID, err)
	}
	return nil
}

// Commands is a subscription to commands. It survives reconnects; what is sent while disconnected is missed.
type Commands struct{ sub *nats.Subscription }

// SubscribeCommands listens for the commands of one attempt, or of AnyAttempt of the pool. Close it.
func (b *Bus) SubscribeCommands(pool, attemptID string) (*Commands, error) {
	sub, err := b.nc.SubscribeSync(messages.CommandSubject(pool, attemptID))
	if err != nil {
		return nil, fmt.Errorf("subscribe to commands of %s: %w", attemptID, err)
	}
	return &Commands{sub}, nil
}

// Next waits for a command. Any error means that no more will come: ctx ended, the subscription or connection was closed,
// or the subscription is not allowed. What is not a command is skipped.
func (c *Commands) Next(ctx context.Context) (messages.Command, error) {
	for {
		m, err := c.sub.NextMsgWithContext(ctx)
		if err != nil {
			return messages.Command{}, fmt.Errorf("commands on %s: %w", c.sub.Subject, err)
		}
		var cmd messages.Command
		if json.Unmarshal(m.Data, &cmd) == nil && cmd.AttemptID != "" {
			return cmd, nil
		}
	}
}

// Close ends the subscription and a waiting Next.
func (c *Commands) Close() error { return c.sub.Unsubscribe() }
