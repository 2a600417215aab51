package auth_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"gantry.example/services/auth"
	"gantry.example/services/postgres"
	"gantry.example/services/servicestest"
)

// disconnected is told whose connections to end.
type disconnected chan []string

func (d disconnected) Disconnect(ctx context.Context, ids []string) (int, error) {
	select {
	case d <- ids:
	case <-ctx.Done():
	}
	return len(ids), nil
}

// TestRevokedTokensAreEnded: a revoked token's connections are ended within seconds, those of a deleted pool's tokens too.
func TestRevokedTokensAreEnded(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	name := "agents"
	p, err := w.DB.CreatePool(t.Context(), "default", postgres.PoolChange{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 2 {
		made, _, err := w.DB.CreateToken(t.Context(), postgres.NewToken{Description: "agents", PoolID: p.ID})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.ID)
	}
	ended := make(disconnected)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- auth.EndRevoked(ctx, w.DB, ended, slog.New(slog.DiscardHandler)) }()
	until := func(want string) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			select {
			case got := <-ended:
				if slices.Contains(got, want) {
					return
				}
			case <-deadline:
				t.Fatalf("the connections of %s were not ended", want)
			}
		}
	}
	if err := w.DB.RevokeToken(t.Context(), postgres.Token{Kind: postgres.TokenAdmin}, ids[0]); err != nil {
		t.Fatal(err)
	}
	until(ids[0])
	if err := w.DB.DeletePool(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	until(ids[1])
	stop()
	if err := <-done; err != nil {
		t.Errorf("at the end: got %v, want no error", err)
	}
}
