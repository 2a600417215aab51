package auth

import (
	"context"
	"log/slog"
	"time"
)

// RevokedTokens lists the ids of tokens that were revoked less than that long ago.
type RevokedTokens interface {
	RevokedTokens(ctx context.Context, within time.Duration) ([]string, error)
}

// Connections ends connections by the ids of their tokens, and returns how many there were. It may be called again.
type Connections interface {
	Disconnect(ctx context.Context, tokenIDs []string) (int, error)
}

const (
	// lookEvery is within the seconds that a revoked token may still be of use.
	lookEvery = time.Second
	// lookBack is longer than an authentication lasts: whoever was being let in meanwhile is found by a later look.
	lookBack = 15 * time.Second
	// firstBack is longer than any user lives without being authenticated anew: what was revoked while nobody looked.
	firstBack = 2 * time.Hour
)

// EndRevoked ends the connections of tokens that were revoked, until ctx ends. Several may do so beside each other.
func EndRevoked(ctx context.Context, tokens RevokedTokens, conns Connections, log *slog.Logger) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for back := firstBack; ; {
		ids, err := tokens.RevokedTokens(ctx, back)
		if err == nil && len(ids) > 0 {
			var ended int
			if ended, err = conns.Disconnect(ctx, ids); ended > 0 {
				log.Info("nats connections ended, because their tokens were revoked", "connections", ended, "tokens", ids)
			}
		}
		if err == nil {
			back, said = lookBack, ""
		} else if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			log.Warn("connections of revoked tokens may still be there, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
