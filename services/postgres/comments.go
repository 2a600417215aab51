package postgres

import (
	"context"
	"time"
	"unicode/utf8"

	"gantry.example/messages"
)

// Comment is what somebody said about a run.
type Comment struct {
	ID        string    `db:"id"`
	RunID     string    `db:"run_id"`
	Author    string    `db:"author"` // a user's name, or that of a token
	Body      string    `db:"body"`
	CreatedAt time.Time `db:"created_at"`
}

// MaxComment is the longest comment in characters.
const MaxComment = 10_000

// AddComment stores a comment on a run. Errors: invalid, not_found.
func (d *DB) AddComment(ctx context.Context, runID, author, body string) (Comment, error) {
	switch n := utf8.RuneCountInString(body); {
	case n == 0:
		return Comment{}, fail(messages.CodeInvalid, "field body: missing: say something")
	case n > MaxComment:
		return Comment{}, fail(messages.CodeInvalid, "field body: longer than %d characters", MaxComment)
	}
	c := Comment{ID: messages.NewID("wsc-"), RunID: runID, Author: author, Body: body, CreatedAt: now()}
	_, err := d.q(ctx).NamedExecContext(ctx, `INSERT INTO run_comments (id, run_id, author, body, created_at) VALUES (:id, :run_id, :author, :body, :created_at)`, c)
	if refersToNothing(err) {
		err = notFound("run", runID)
	}
	return c, err
}

// Comments lists the comments on a run, oldest first.
func (d *DB) Comments(ctx context.Context, runID string) ([]Comment, error) {
	var out []Comment
	err := d.q(ctx).SelectContext(ctx, &out, `SELECT id, run_id, author, body, created_at FROM run_comments WHERE run_id = $1 ORDER BY created_at, id`, runID)
	return out, err
}

// CommentByID returns a comment. Errors: not_found.
func (d *DB) CommentByID(ctx context.Context, id string) (Comment, error) {
	var c Comment
	err := d.q(ctx).GetContext(ctx, &c, `SELECT id, run_id, author, body, created_at FROM run_comments WHERE id = $1`, id)
	if noRows(err) {
		return c, notFound("comment", id)
	}
	return c, err
}
