package postgres

import (
	"context"
	"time"

	"gantry.example/services/run"
)

// Notification is something to tell a receiver.
type Notification struct {
	ID               int64
	Configuration    NotificationConfiguration
	Trigger          string
	RunStatus        run.Status
	At               time.Time
	Actor            string
	Run              run.Run
	WorkspaceName    string
	OrganizationName string
	Tries            int // of before
}

const (
	notifyLock   = 0x6e6f7469 // "noti"
	notifyCursor = "notify_cursor"
	// sendingFor is how long a receiver is left to the server that sends to it: one that was killed meanwhile is followed by
	// another, so that everything is sent at least once.
	sendingFor = time.Minute
	// A notification is given up after so many tries, or so long.
	maxTries  = 8
	notifyFor = 24 * time.Hour
)

// backOff is how long a receiver that did not take what was sent, so often in a row, is left alone.
func backOff(failures int) time.Duration {
	const longest = 10 * time.Minute
	return min(5*time.Second<<min(2*(failures-1), 16), longest)
}

// told is what an event tells: a trigger, and the status that the run has by it. The run's later events do not matter.
const told = `
	CASE
	  WHEN e.type = 'created' THEN 'run:created pending'
	  WHEN e.type = 'started' AND e.event -> 'data' ->> 'phase' = 'plan' THEN 'run:planning planning'
	  WHEN e.type = 'started' THEN 'run:applying applying'
	  WHEN e.type = 'planned' AND (r.doc -> 'options' ? 'plan_only' OR NOT e.event -> 'data' ? 'has_changes' AND NOT r.doc ? 'recovers')
	    THEN 'run:completed planned_and_finished'
	  WHEN e.type = 'planned' AND r.doc -> 'options' ? 'save_plan' THEN 'run:needs_attention planned_and_saved'
	  WHEN e.type = 'planned' AND NOT r.doc -> 'options' ? 'auto_apply' THEN 'run:needs_attention planned'
	  WHEN e.type = 'applied' THEN 'run:completed applied'
	  WHEN e.type = 'recovered' THEN 'run:completed planned_and_finished'
	  WHEN e.type IN ('errored', 'outcome_unknown') THEN 'run:errored errored'
	  WHEN e.type = 'canceled' AND e.event -> 'data' ? 'force' THEN 'run:errored force_canceled'
	  WHEN e.type = 'canceled' THEN 'run:errored canceled'
	END`

// NoteNotifications notes what is to be told of what happened since it was last called, by whichever server. The first call
// ever starts from now.
func (d *DB) NoteNotifications(ctx context.Context) error {
	return d.weighed(ctx, func(tx *txn) error {
		c, ok, err := eventStep(ctx, tx, notifyLock, notifyCursor)
		if err != nil || !ok {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			INSERT INTO notifications (configuration_id, run_id, seq, trigger, run_status, at, actor)
			SELECT n.id, e.run_id, e.seq, split_part(t.told, ' ', 1), split_part(t.told, ' ', 2), e.at, COALESCE(e.event ->> 'actor', '')
			FROM run_events e JOIN notification_configurations n ON n.workspace_id = e.workspace_id AND n.enabled JOIN runs r ON r.id = e.run_id
			CROSS JOIN LATERAL (SELECT `+told+` AS told) t
			WHERE e.xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(e.xid, $1::pg_snapshot)
			  AND pg_visible_in_snapshot(e.xid, $2::pg_snapshot) AND split_part(t.told, ' ', 1) = ANY (n.triggers)
			ORDER BY e.id ON CONFLICT DO NOTHING`, c.From, c.To)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 && snapshotMax(c.To)-snapshotMax(c.From) < cursorStep {
			return err // an idle server writes nothing
		}
		return saveCursor(ctx, tx, notifyCursor, Cursor{From: c.To, To: c.To})
	})
}

// NextNotification is one that is to be sent now; ok is false where none is. Those of a receiver come in the order in which they
// happened, the next one after Notified was called for the one before, or after a minute.
func (d *DB) NextNotification(ctx context.Context) (out Notification, ok bool, err error) {
	err = d.once(ctx, func(tx *txn) error {
		var id string
		at := now()
		err := tx.GetContext(ctx, &id, `
			UPDATE notification_configurations SET next_at = $2 WHERE id = (
			  SELECT c.id FROM notification_configurations c
			  WHERE c.enabled AND c.next_at <= $1 AND EXISTS (SELECT 1 FROM notifications n WHERE n.configuration_id = c.id)
			  ORDER BY c.next_at LIMIT 1 FOR UPDATE OF c SKIP LOCKED) RETURNING id`, at, at.Add(sendingFor))
		if noRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		var row struct {
			ID               int64      `db:"id"`
			Trigger          string     `db:"trigger"`
			RunStatus        run.Status `db:"run_status"`
			At               time.Time  `db:"at"`
			Actor            string     `db:"actor"`
			Tries            int        `db:"tries"`
			Doc              []byte     `db:"doc"`
			WorkspaceName    string     `db:"workspace_name"`
			OrganizationName string     `db:"organization_name"`
		}
		if err := tx.GetContext(ctx, &row, `
			SELECT n.id, n.trigger, n.run_status, n.at, n.actor, n.tries, r.doc, w.name AS workspace_name, o.name AS organization_name
			FROM notifications n JOIN runs r ON r.id = n.run_id JOIN workspaces w ON w.id = r.workspace_id JOIN organizations o ON o.id = w.organization_id
			WHERE n.configuration_id = $1 ORDER BY n.id LIMIT 1`, id); err != nil {
			return err
		}
		var config notificationRow
		if err := tx.GetContext(ctx, &config, selectNotificationConfiguration+` WHERE c.id = $1`, id); err != nil {
			return err
		}
		out = Notification{
			ID: row.ID, Trigger: row.Trigger, RunStatus: row.RunStatus, At: row.At.UTC(), Actor: row.Actor, Tries: row.Tries,
			WorkspaceName: row.WorkspaceName, OrganizationName: row.OrganizationName,
		}
		if out.Run, err = decodeRun(row.Doc); err != nil {
			return err
		}
		out.Configuration, err = d.openNotification(config)
		ok = err == nil
		return err
	})
	return out, ok && err == nil, err
}

// Notified notes what became of sending a notification. One that was not taken is tried again, unless it is given up for good,
// which is reported. A configuration that was deleted meanwhile is no error.
func (d *DB) Notified(ctx context.Context, n Notification, got DeliveryResponse) (givenUp bool, err error) {
	givenUp = !got.Successful && (n.Tries+1 >= maxTries || now().Sub(n.At) > notifyFor)
	err = d.tx(ctx, func(tx *txn) error {
		if err := answered(ctx, tx, n.Configuration.ID, got); err != nil {
			return err
		}
		change := `UPDATE notifications SET tries = tries + 1 WHERE id = $1`
		if got.Successful || givenUp {
			change = `DELETE FROM notifications WHERE id = $1`
		}
		_, err := tx.ExecContext(ctx, change, n.ID)
		return err
	})
	if isNotFound(err) {
		return false, nil
	}
	return givenUp, err
}
