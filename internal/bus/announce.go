package bus

import (
	"context"
	"fmt"
	"time"

	"gantry.example/messages"
)

// Announce tells whoever listens at this moment what happened to a run. It does not wait, and nothing stores it.
func (b *Bus) Announce(organizationID, workspaceID, runID string, change []byte) error {
	if err := b.nc.Publish(messages.EventSubject(organizationID, workspaceID, runID), change); err != nil {
		return fmt.Errorf("tell a change of run %s: %w", runID, err)
	}
	return nil
}

// Flush returns when NATS has everything that was told.
func (b *Bus) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushWithin)
	defer cancel()
	return b.nc.FlushWithContext(ctx)
}

const flushWithin = 5 * time.Second
