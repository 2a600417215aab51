package client

import (
	"context"
	"fmt"
	"net/http"

	"gantry.example/messages"
)

// DeadLetters lists messages that nobody could use, oldest first, without their bodies: up to 100 with ids above after.
func (c *Client) DeadLetters(ctx context.Context, after uint64) ([]messages.DeadLetter, error) {
	var out []messages.DeadLetter
	err := c.json(ctx, http.MethodGet, fmt.Sprintf("/dead-letters?after=%d", after), nil, &out)
	return out, err
}

// DeadLetter returns one with its body.
func (c *Client) DeadLetter(ctx context.Context, id uint64) (messages.DeadLetter, error) {
	var out messages.DeadLetter
	err := c.json(ctx, http.MethodGet, fmt.Sprintf("/dead-letters/%d", id), nil, &out)
	return out, err
}

// ReplayDeadLetter publishes the message again where it was at first and removes the dead letter.
func (c *Client) ReplayDeadLetter(ctx context.Context, id uint64) (messages.DeadLetter, error) {
	var out messages.DeadLetter
	err := c.json(ctx, http.MethodPost, fmt.Sprintf("/dead-letters/%d/replay", id), nil, &out)
	return out, err
}

// DropDeadLetter removes it for good.
func (c *Client) DropDeadLetter(ctx context.Context, id uint64) error {
	return c.json(ctx, http.MethodDelete, fmt.Sprintf("/dead-letters/%d", id), nil, nil)
}
