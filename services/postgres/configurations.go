package postgres

import (
	"bytes"
	"context"
	"io"
	"time"

	"gantry.example/messages"
)

// Statuses of a configuration version.
const (
	ConfigurationPending  = "pending"
	ConfigurationUploaded = "uploaded"
	ConfigurationArchived = "archived" // its archive was removed for its age
)

// ConfigurationVersion is one uploaded tarball, immutable once uploaded.
type ConfigurationVersion struct {
	ID            string     `db:"id"`
	WorkspaceID   string     `db:"workspace_id"`
	Status        string     `db:"status"`
	Speculative   bool       `db:"speculative"`
	Provisional   bool       `db:"provisional"`
	AutoQueueRuns bool       `db:"auto_queue_runs"`
	Source        string     `db:"source"`
	Size          int64      `db:"size"`
	CreatedAt     time.Time  `db:"created_at"`
	UploadedAt    *time.Time `db:"uploaded_at"`
}

const selectConfiguration = `SELECT id, workspace_id, status, speculative, provisional, auto_queue_runs, source, size,
	created_at, uploaded_at FROM configuration_versions`

// NewConfigurationVersion is what one is created from.
type NewConfigurationVersion struct {
	WorkspaceID   string
	Speculative   bool
	Provisional   bool
	AutoQueueRuns bool
	Source        string
}

// CreateConfigurationVersion returns a pending version, to be uploaded. Errors: not_found for the workspace.
func (d *DB) CreateConfigurationVersion(ctx context.Context, in NewConfigurationVersion) (ConfigurationVersion, error) {
	cv := ConfigurationVersion{
		ID: messages.NewID("cv-"), WorkspaceID: in.WorkspaceID, Status: ConfigurationPending, Speculative: in.Speculative,
		Provisional: in.Provisional, AutoQueueRuns: in.AutoQueueRuns, Source: in.Source, CreatedAt: now(),
	}
	_, err := d.q(ctx).NamedExecContext(ctx, `
		INSERT INTO configuration_versions (id, workspace_id, status, speculative, provisional, auto_queue_runs, source, created_at)
		VALUES (:id, :workspace_id, :status, :speculative, :provisional, :auto_queue_runs, :source, :created_at)`, cv)
	if refersToNothing(err) {
		err = notFound("workspace", in.WorkspaceID)
	}
	return cv, err
}

// ConfigurationVersion returns one by id.
func (d *DB) ConfigurationVersion(ctx context.Context, id string) (ConfigurationVersion, error) {
	var cv ConfigurationVersion
	err := d.q(ctx).GetContext(ctx, &cv, selectConfiguration+` WHERE id = $1`, id)
	if noRows(err) {
		return cv, notFound("configuration version", id)
	}
	return cv, err
}

// Configurations lists the configuration versions of a workspace, newest first, and the number of all.
func (d *DB) Configurations(ctx context.Context, workspaceID string, p Page) ([]ConfigurationVersion, int, error) {
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM configuration_versions WHERE workspace_id = $1`, workspaceID); err != nil {
		return nil, 0, err
	}
	var out []ConfigurationVersion
	err := d.q(ctx).SelectContext(ctx, &out, selectConfiguration+` WHERE workspace_id = $1 ORDER BY created_at DESC, id LIMIT $2 OFFSET $3`,
		workspaceID, p.limit(), p.offset())
	return out, total, err
}

// UploadConfiguration stores the archive. The same archive again is no change. Errors: not_found, conflict when another
// archive was uploaded before.
func (d *DB) UploadConfiguration(ctx context.Context, id string, archive []byte) (ConfigurationVersion, error) {
	var cv ConfigurationVersion
	err := d.tx(ctx, func(tx *txn) error {
		err := tx.GetContext(ctx, &cv, selectConfiguration+` WHERE id = $1 FOR UPDATE`, id)
		if noRows(err) {
			return notFound("configuration version", id)
		}
		if err != nil {
			return err
		}
		if cv.Status == ConfigurationArchived {
			return fail(messages.CodeConflict, "configuration version %s was uploaded before and its archive was removed for its age: create another", id)
		}
		if cv.Status == ConfigurationUploaded {
			blob, err := d.blob(ctx, tx, id, BlobConfiguration)
			if err != nil {
				return err
			}
			have, err := io.ReadAll(blob)
			if err == nil && !bytes.Equal(have, archive) {
				return fail(messages.CodeConflict, "configuration version %s was uploaded before and is immutable: create another", id)
			}
			return err
		}
		if err := d.putBlob(ctx, tx, id, BlobConfiguration, archive); err != nil {
			return err
		}
		at := now()
		cv.Status, cv.Size, cv.UploadedAt = ConfigurationUploaded, int64(len(archive)), &at
		_, err = tx.ExecContext(ctx, `UPDATE configuration_versions SET status = $2, size = $3, uploaded_at = $4 WHERE id = $1`,
			id, cv.Status, cv.Size, at)
		return err
	})
	return cv, err
}
