package postgres

import (
	"context"
	"errors"
	"time"
)

// How long what nobody asks for any more is kept.
const (
	keepAnswers = 24 * time.Hour     // to repeated requests
	keepTokens  = 7 * 24 * time.Hour // of attempts, after their expiry
	keepResults = 7 * 24 * time.Hour // after they were folded; run_events has what they said
	keepUploads = 24 * time.Hour     // of large blobs, which were broken off by then
	keepValues  = time.Hour          // of variables, after the last attempt of a run that is over, unless a plan is shown without them
)

// deleteValues deletes values that nobody can need: no attempt that may read its inputs again, no plan that may still be applied, and
// no JSON plan, which may come a while after its run's end and in which they are hidden as long as it is shown.
const deleteValues = `
	DELETE FROM attempt_variables v USING runs r WHERE r.id = v.run_id AND NOT v.shown AND v.created_at < $1
	AND r.status NOT IN ` + openStatuses + ` AND NOT r.holds
	AND NOT EXISTS (SELECT 1 FROM tasks t JOIN attempts a ON a.task_id = t.id WHERE t.run_id = r.id AND (a.state <> 'closed' OR a.closed_at >= $1))`

// Sweep deletes answers kept for their Idempotency-Key, sessions that are over, OAuth codes, logins that were
// tried, readers of events that are gone, expired attempt tokens, folded results, uploads
// that were broken off, and the values that attempts of runs that are over were given.
func (d *DB) Sweep(ctx context.Context) error {
	at := now()
	var failed error
	for _, q := range []struct {
		statement string
		before    time.Time
	}{
		{`DELETE FROM idempotency WHERE created_at < $1`, at.Add(-keepAnswers)},
		{`DELETE FROM sessions WHERE expires_at < $1`, at},
		{`DELETE FROM oauth_codes WHERE expires_at < $1`, at},
		{`DELETE FROM event_readers WHERE until < $1`, at},
		{`DELETE FROM login_attempts WHERE at < $1`, at.Add(-loginWindow)},
		{`DELETE FROM attempt_tokens WHERE expires_at < $1`, at.Add(-keepTokens)},
		{`DELETE FROM results WHERE received_at < $1`, at.Add(-keepResults)},
		{`DELETE FROM blobs WHERE owner LIKE '` + uploadPrefix + `%' AND created_at < $1`, at.Add(-keepUploads)},
		{deleteValues, at.Add(-keepValues)},
	} {
		_, err := d.q(ctx).ExecContext(ctx, q.statement, q.before)
		failed = errors.Join(failed, err)
	}
	return failed
}
