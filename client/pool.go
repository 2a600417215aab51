package client

import (
	"context"
	"net/http"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Pool makes the calls of a pool's workers; its transport carries the pool's token. It may be used by many goroutines.
type Pool struct{ transport *Transport }

// NewPool returns the calls of a pool. Its transport should have a budget of a second or two: a worker that gets no answer
// gives its message back, so that another worker can try.
func NewPool(t *Transport) *Pool { return &Pool{transport: t} }

// Claim asks for a task. Repeated with the same nonce it gives the same attempt. A refusal is an *Error: task.taken,
// task.gone, attempt.canceled and not_found are for good, task.not_ready is not.
func (p *Pool) Claim(ctx context.Context, req wire.ClaimRequest) (wire.Claim, error) {
	var claim wire.Claim
	err := p.transport.JSON(ctx, Request{Method: http.MethodPost, Path: apiPrefix + "/claim"}, req, &claim)
	return claim, err
}

// SawWorker tells how a worker of the pool is doing, and returns what the worker is told.
func (p *Pool) SawWorker(ctx context.Context, s wire.WorkerStatus) (wire.WorkerOrders, error) {
	var out wire.WorkerOrders
	err := p.transport.JSON(ctx, Request{Method: http.MethodPost, Path: apiPrefix + "/workers"}, s, &out)
	return out, err
}

// Placing tells which claimed attempts are still being placed, and asks what became of them.
func (p *Pool) Placing(ctx context.Context, attempts []wire.Placement) (wire.PlacingAnswer, error) {
	var out wire.PlacingAnswer
	err := p.transport.JSON(ctx, Request{Method: http.MethodPost, Path: apiPrefix + "/placing"}, wire.PlacingRequest{V: messages.Version, Attempts: attempts}, &out)
	return out, err
}

// Info tells which pool the token is for.
func (p *Pool) Info(ctx context.Context) (wire.PoolInfo, error) {
	var out wire.PoolInfo
	err := p.transport.JSON(ctx, Request{Method: http.MethodGet, Path: apiPrefix + "/pool"}, nil, &out)
	return out, err
}

// K8sConfig returns the config that the token is for, of a dispatcher's pool.
func (p *Pool) K8sConfig(ctx context.Context) (wire.K8sConfig, error) {
	var out wire.K8sConfig
	err := p.transport.JSON(ctx, Request{Method: http.MethodGet, Path: apiPrefix + "/k8s-config"}, nil, &out)
	return out, err
}
