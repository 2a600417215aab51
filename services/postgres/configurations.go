package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
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
// archive was uploaded before; what its check finds.
func (d *DB) UploadConfiguration(ctx context.Context, id string, in Upload) (ConfigurationVersion, error) {
	cv, err := d.ConfigurationVersion(ctx, id)
	if err == nil {
		err = cv.takesArchive()
	}
	if err != nil {
		return cv, err
	}
	sum := sha256.New()
	in.Body = io.TeeReader(in.Body, sum)
	u, err := d.receive(ctx, id, BlobConfiguration, in)
	defer u.discard(ctx, d)
	if err != nil {
		return cv, err
	}
	return d.putConfiguration(ctx, u, sum.Sum(nil))
}

// putConfiguration makes what was received the archive of the version. Its hash is sum.
func (d *DB) putConfiguration(ctx context.Context, u received, sum []byte) (ConfigurationVersion, error) {
	var cv ConfigurationVersion
	err := d.tx(ctx, func(tx *txn) error {
		err := tx.GetContext(ctx, &cv, selectConfiguration+` WHERE id = $1 FOR UPDATE`, u.owner)
		if noRows(err) {
			return notFound("configuration version", u.owner)
		}
		if err := firstError(err, cv.takesArchive()); err != nil {
			return err
		}
		if cv.Status == ConfigurationUploaded {
			return d.sameArchive(ctx, tx, cv.ID, sum)
		}
		if err := u.store(ctx, d, tx); err != nil {
			return err
		}
		at := now()
		cv.Status, cv.Size, cv.UploadedAt = ConfigurationUploaded, u.size, &at
		_, err = tx.ExecContext(ctx, `UPDATE configuration_versions SET status = $2, size = $3, uploaded_at = $4 WHERE id = $1`,
			cv.ID, cv.Status, cv.Size, at)
		return err
	})
	return cv, err
}

func (cv ConfigurationVersion) takesArchive() error {
	if cv.Status == ConfigurationArchived {
		return fail(messages.CodeConflict, "configuration version %s was uploaded before and its archive was removed for its age: create another", cv.ID)
	}
	return nil
}

// sameArchive refuses an archive with the hash that is another than the version has.
func (d *DB) sameArchive(ctx context.Context, tx *txn, id string, sum []byte) error {
	blob, err := d.blob(ctx, tx, id, BlobConfiguration)
	if err != nil {
		return err
	}
	have := sha256.New()
	if _, err := io.Copy(have, blob); err != nil {
		return err
	}
	if !bytes.Equal(have.Sum(nil), sum) {
		return fail(messages.CodeConflict, "configuration version %s was uploaded before and is immutable: create another", id)
	}
	return nil
}
