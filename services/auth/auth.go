// Package auth tells NATS who connects: a token becomes an identity, and the bus derives what that identity may do.
package auth

import (
	"context"
	"errors"
	"time"

	"gantry.example/internal/bus/broker"
	"gantry.example/services/postgres"
)

// Store knows the tokens. Safe for concurrent use.
type Store interface {
	Token(ctx context.Context, token string) (postgres.Token, error)
	AttemptByToken(ctx context.Context, token string) (postgres.Attempt, error)
	// AddReader has the organization's events told on NATS until then.
	AddReader(ctx context.Context, organizationID string, until time.Time) error
}

// NATS authenticates the clients of the bus. Safe for concurrent use.
type NATS struct{ store Store }

// NewNATS returns an authenticator over the store.
func NewNATS(store Store) *NATS { return &NATS{store: store} }

// Authenticate implements broker.Authenticator: a pool token makes a worker of that pool under the client's own name, an
// organization token whose role is write or more a producer of that organization and with the role read a reader of its events, an attempt
// token the runner of that attempt, whatever they call themselves. After its attempt is closed a runner still has the end
// of its log and its event to deliver, for a while, but no lease to hold any more.
func (n *NATS) Authenticate(ctx context.Context, token, clientName string) (broker.Identity, error) {
	if postgres.IsAttemptToken(token) {
		return n.runner(ctx, token, clientName)
	}
	t, err := n.store.Token(ctx, token)
	if err != nil {
		return broker.Identity{}, err
	}
	switch t.Kind {
	case postgres.TokenPool:
		return until(broker.Identity{Kind: broker.KindWorker, Pool: t.Pool(), Name: clientName}, t), nil
	case postgres.TokenOrganization:
		return n.organization(ctx, t)
	default:
		return broker.Identity{}, errors.New("this kind of token has no business on NATS")
	}
}

func (n *NATS) organization(ctx context.Context, t postgres.Token) (broker.Identity, error) {
	switch {
	case t.Role.Covers(postgres.RoleWrite): // a message carries no role, so the intake takes all of them for those of a token that may write
		return until(broker.Identity{Kind: broker.KindProducer, Name: t.OrganizationID}, t), nil
	case t.Role == postgres.RoleRead:
		if err := n.store.AddReader(ctx, t.OrganizationID, time.Now().Add(listening)); err != nil {
			return broker.Identity{}, err
		}
		return until(broker.Identity{Kind: broker.KindReader, Name: t.OrganizationID}, t), nil
	default:
		return broker.Identity{}, errors.New("a producer needs a token with the role write and a reader one with the role read, this one has " + string(t.Role))
	}
}

// until binds the identity to its token: it ends with it.
func until(id broker.Identity, t postgres.Token) broker.Identity {
	id.TokenID = t.ID
	if t.ExpiresAt != nil {
		id.Until = *t.ExpiresAt
	}
	return id
}

func (n *NATS) runner(ctx context.Context, token, clientName string) (broker.Identity, error) {
	a, err := n.store.AttemptByToken(ctx, token)
	if err != nil {
		return broker.Identity{}, err
	}
	if clientName != a.ID {
		return broker.Identity{}, errors.New("the client's name is not that of the token's attempt")
	}
	r := a.Run
	id := broker.Identity{Kind: broker.KindRunner, Pool: r.Pool, Name: a.ID, WorkspaceID: r.WorkspaceID, RunID: r.ID}
	task, attempt := r.Attempt(a.ID)
	switch {
	case attempt == nil:
		return broker.Identity{}, errors.New("the token's attempt does not exist")
	case !attempt.Open() && time.Since(*attempt.ClosedAt) > lingering:
		return broker.Identity{}, errors.New("the token's attempt ended long ago")
	case attempt.Open() && r.ExclusiveTask(task.Phase):
		id.Key = r.WorkspaceID
	case attempt.Open():
		id.Key = r.ID
	}
	return id, nil
}

// lingering is how long a runner may go on delivering log and events after its attempt was closed: longer than any offline
// limit.
const lingering = time.Hour

// listening is how long a reader is spoken to: longer than a NATS user lives, who is authenticated anew then.
const listening = 90 * time.Minute

var (
	_ broker.Authenticator = (*NATS)(nil)
	_ Store                = (*postgres.DB)(nil)
)
