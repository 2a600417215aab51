package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"gantry.example/messages"
)

// Destinations of notifications.
const (
	DestinationGeneric = "generic" // JSON, signed with the token
	DestinationSlack   = "slack"   // an incoming webhook of Slack's kind
)

// Triggers of notifications: what a run does that is told.
const (
	TriggerCreated        = "run:created"
	TriggerPlanning       = "run:planning"
	TriggerNeedsAttention = "run:needs_attention"
	TriggerApplying       = "run:applying"
	TriggerCompleted      = "run:completed"
	TriggerErrored        = "run:errored" // canceled ones too, as in TFE
)

// Triggers lists the triggers in the order of a run's life.
func Triggers() []string {
	return []string{TriggerCreated, TriggerPlanning, TriggerNeedsAttention, TriggerApplying, TriggerCompleted, TriggerErrored}
}

// maxNotifications bounds the configurations of one workspace.
const maxNotifications = 20

// keptResponses is how many deliveries of a configuration are remembered.
const keptResponses = 5

// NotificationConfiguration says who outside is told what runs of a workspace do.
type NotificationConfiguration struct {
	ID             string
	OrganizationID string
	WorkspaceID    string
	Name           string
	Destination    string
	Enabled        bool
	Triggers       []string
	URL, Token     string
	Responses      []DeliveryResponse // newest first
	Failures       int                // of deliveries in a row
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// DeliveryResponse is what became of one delivery.
type DeliveryResponse struct {
	URL        string              `json:"-"`    // secret, and that of the configuration
	Code       int                 `json:"code"` // of HTTP; 0 where there was no answer
	Body       string              `json:"body"` // its beginning, or why there was no answer
	Headers    map[string][]string `json:"headers,omitempty"`
	SentAt     time.Time           `json:"sent_at"`
	Successful bool                `json:"successful"`
}

// NotificationChange is a partial update, or, where all but Token must be there, a new configuration: nil fields stay.
type NotificationChange struct {
	Name, Destination, URL, Token *string
	Enabled                       *bool
	Triggers                      []string
}

type notificationRow struct {
	ID             string         `db:"id"`
	OrganizationID string         `db:"organization_id"`
	WorkspaceID    string         `db:"workspace_id"`
	Name           string         `db:"name"`
	Destination    string         `db:"destination"`
	Enabled        bool           `db:"enabled"`
	Triggers       pq.StringArray `db:"triggers"`
	Sealed         []byte         `db:"sealed"`
	Responses      []byte         `db:"responses"`
	Failures       int            `db:"failures"`
	CreatedAt      time.Time      `db:"created_at"`
	UpdatedAt      time.Time      `db:"updated_at"`
}

const selectNotificationConfiguration = `
	SELECT c.id, w.organization_id, c.workspace_id, c.name, c.destination, c.enabled, c.triggers, c.sealed, c.responses, c.failures, c.created_at, c.updated_at
	FROM notification_configurations c JOIN workspaces w ON w.id = c.workspace_id`

// notificationSecret is what is sealed: the address of an incoming webhook lets in whoever knows it.
type notificationSecret struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func notificationPlace(id string) []byte { return []byte("notification-configurations/" + id) }

func (d *DB) openNotification(row notificationRow) (NotificationConfiguration, error) {
	c := NotificationConfiguration{
		ID: row.ID, OrganizationID: row.OrganizationID, WorkspaceID: row.WorkspaceID, Name: row.Name, Destination: row.Destination, Enabled: row.Enabled,
		Triggers: row.Triggers, Failures: row.Failures, CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
	}
	plain, err := d.seal.Open(row.Sealed, notificationPlace(row.ID))
	if err != nil {
		return c, fmt.Errorf("notification configuration %s: %w", row.ID, err)
	}
	var secret notificationSecret
	if err := json.Unmarshal(plain, &secret); err != nil {
		return c, err
	}
	c.URL, c.Token = secret.URL, secret.Token
	err = json.Unmarshal(row.Responses, &c.Responses)
	for i := range c.Responses {
		c.Responses[i].URL = c.URL
	}
	return c, err
}

// Changed is the configuration with the change, or a new one of the workspace if it is the zero value. It is checked, and not
// stored. Errors: invalid.
func (c NotificationConfiguration) Changed(workspaceID string, in NotificationChange) (NotificationConfiguration, error) {
	if c.ID == "" {
		c.ID, c.WorkspaceID, c.CreatedAt, c.Triggers = messages.NewID("nc-"), workspaceID, now(), []string{}
	}
	for _, f := range []struct {
		to   *string
		from *string
	}{{&c.Name, in.Name}, {&c.Destination, in.Destination}, {&c.URL, in.URL}, {&c.Token, in.Token}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if in.Enabled != nil {
		c.Enabled = *in.Enabled
	}
	if in.Triggers != nil {
		c.Triggers = in.Triggers
	}
	c.UpdatedAt = now()
	return c, c.check()
}

func (c NotificationConfiguration) check() error {
	switch {
	case c.Name == "" || len(c.Name) > MaxDescription:
		return fail(messages.CodeInvalid, "field name: want 1 to %d characters", MaxDescription)
	case c.Destination != DestinationGeneric && c.Destination != DestinationSlack:
		return fail(messages.CodeInvalid, "field destination-type: this server tells generic (a webhook) and slack, not %q", c.Destination)
	case len(c.Token) > MaxDescription:
		return fail(messages.CodeInvalid, "field token: want %d characters at most", MaxDescription)
	}
	for _, t := range c.Triggers {
		if !slices.Contains(Triggers(), t) {
			return fail(messages.CodeInvalid, "field triggers: %q does not happen on this server; what does is %s", t, strings.Join(Triggers(), ", "))
		}
	}
	return nil
}

// remembered are the responses with a newer one.
func remembered(all []DeliveryResponse, newest DeliveryResponse) []DeliveryResponse {
	out := append([]DeliveryResponse{newest}, all...)
	return out[:min(len(out), keptResponses)]
}

// CreateNotificationConfiguration stores what Changed made, with what became of its verification, if there was one. Errors:
// not_found (workspace), invalid (too many).
func (d *DB) CreateNotificationConfiguration(ctx context.Context, c NotificationConfiguration, verified *DeliveryResponse) (NotificationConfiguration, error) {
	err := d.tx(ctx, func(tx *txn) error {
		w, _, err := lockedWorkspace(ctx, tx, c.WorkspaceID)
		if err != nil {
			return err
		}
		var have int
		if err := tx.GetContext(ctx, &have, `SELECT count(*) FROM notification_configurations WHERE workspace_id = $1`, w.ID); err != nil {
			return err
		}
		if have >= maxNotifications {
			return fail(messages.CodeInvalid, "workspace %s has %d notification configurations already, which is as many as there can be", w.Name, have)
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO notification_configurations (id, workspace_id, name, destination, enabled, triggers, sealed, next_at, created_at, updated_at)
			VALUES ($1, $2, '', '', false, '{}', '', $3, $3, $3)`, c.ID, w.ID, c.CreatedAt); err != nil {
			return err
		}
		return d.storeNotification(ctx, tx, c, verified)
	})
	if err != nil {
		return c, err
	}
	return d.NotificationConfiguration(ctx, c.ID)
}

// UpdateNotificationConfiguration stores what Changed made of one there is. What waits for one that is not enabled any more is
// dropped. Errors: not_found.
func (d *DB) UpdateNotificationConfiguration(ctx context.Context, c NotificationConfiguration, verified *DeliveryResponse) (NotificationConfiguration, error) {
	err := d.tx(ctx, func(tx *txn) error {
		if err := d.storeNotification(ctx, tx, c, verified); err != nil || c.Enabled {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM notifications WHERE configuration_id = $1`, c.ID)
		return err
	})
	if err != nil {
		return c, err
	}
	return d.NotificationConfiguration(ctx, c.ID)
}

// storeNotification writes what people decide. A receiver that was verified is taken to be well again.
func (d *DB) storeNotification(ctx context.Context, tx *txn, c NotificationConfiguration, verified *DeliveryResponse) error {
	plain, err := json.Marshal(notificationSecret{c.URL, c.Token})
	if err != nil {
		return err
	}
	sealed, err := d.seal.Seal(plain, notificationPlace(c.ID))
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `
		UPDATE notification_configurations SET name = $2, destination = $3, enabled = $4, triggers = $5, sealed = $6, updated_at = $7 WHERE id = $1`,
		c.ID, c.Name, c.Destination, c.Enabled, textArray(c.Triggers), sealed, c.UpdatedAt)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, notFound("notification configuration", c.ID))
	}
	if verified == nil {
		return nil
	}
	return answered(ctx, tx, c.ID, *verified)
}

// answered remembers what became of a delivery, and when the next may be tried.
func answered(ctx context.Context, tx *txn, id string, got DeliveryResponse) error {
	var have struct {
		Responses []byte `db:"responses"`
		Failures  int    `db:"failures"`
	}
	err := tx.GetContext(ctx, &have, `SELECT responses, failures FROM notification_configurations WHERE id = $1 FOR UPDATE`, id)
	if noRows(err) {
		return notFound("notification configuration", id)
	}
	if err != nil {
		return err
	}
	var all []DeliveryResponse
	if err := json.Unmarshal(have.Responses, &all); err != nil {
		return err
	}
	doc, err := document(remembered(all, got))
	if err != nil {
		return err
	}
	failures, next := 0, now()
	if !got.Successful {
		failures = have.Failures + 1
		next = next.Add(backOff(failures))
	}
	_, err = tx.ExecContext(ctx, `UPDATE notification_configurations SET responses = $2, failures = $3, next_at = $4 WHERE id = $1`, id, doc, failures, next)
	return err
}

// NoteVerification remembers what became of a verification. Errors: not_found.
func (d *DB) NoteVerification(ctx context.Context, id string, got DeliveryResponse) error {
	return d.tx(ctx, func(tx *txn) error { return answered(ctx, tx, id, got) })
}

// NotificationConfigurations lists those of a workspace (id), oldest first, and the number of them.
func (d *DB) NotificationConfigurations(ctx context.Context, workspaceID string, p Page) ([]NotificationConfiguration, int, error) {
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM notification_configurations WHERE workspace_id = $1`, workspaceID); err != nil {
		return nil, 0, err
	}
	var rows []notificationRow
	if err := d.q(ctx).SelectContext(ctx, &rows, selectNotificationConfiguration+` WHERE c.workspace_id = $1 ORDER BY c.created_at, c.id LIMIT $2 OFFSET $3`,
		workspaceID, p.limit(), p.offset()); err != nil {
		return nil, 0, err
	}
	out := make([]NotificationConfiguration, len(rows))
	for i, row := range rows {
		var err error
		if out[i], err = d.openNotification(row); err != nil {
			return nil, 0, err
		}
	}
	return out, total, nil
}

// NotificationConfiguration returns one by id. Errors: not_found.
func (d *DB) NotificationConfiguration(ctx context.Context, id string) (NotificationConfiguration, error) {
	var row notificationRow
	err := d.q(ctx).GetContext(ctx, &row, selectNotificationConfiguration+` WHERE c.id = $1`, id)
	if noRows(err) {
		return NotificationConfiguration{}, notFound("notification configuration", id)
	}
	if err != nil {
		return NotificationConfiguration{}, err
	}
	return d.openNotification(row)
}

// DeleteNotificationConfiguration deletes one with what waits for it. Errors: not_found.
func (d *DB) DeleteNotificationConfiguration(ctx context.Context, id string) error {
	res, err := d.q(ctx).ExecContext(ctx, `DELETE FROM notification_configurations WHERE id = $1`, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, notFound("notification configuration", id))
	}
	return nil
}
