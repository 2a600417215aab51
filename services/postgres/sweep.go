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
	keepValues  = time.Hour          // of variables, after an attempt was given them, once its run is over
)

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
		{`DELETE FROM attempt_variables v USING runs r WHERE r.id = v.run_id AND NOT r.holds AND v.created_at < $1`, at.Add(-keepValues)},
	} {
		_, err := d.q(ctx).ExecContext(ctx, q.statement, q.before)
		failed = errors.Join(failed, err)
	}
	return failed
}
