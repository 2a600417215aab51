package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"gantry.example/messages"
)

// Target is the workspace's execution document merged over its organization's; the mode is local when nobody said another.
func (w Workspace) Target() (messages.Execution, error) {
	out, err := target(messages.Execution{}, w.Execution, w.Defaults)
	if err != nil {
		return out, fmt.Errorf("workspace %s of organization %s: %w", w.ID, w.OrganizationID, err)
	}
	return out, nil
}

// target merges the document over those of the levels below it, nearest first.
func target(own messages.Execution, levels ...[]byte) (messages.Execution, error) {
	for _, b := range levels {
		var base messages.Execution
		if err := json.Unmarshal(b, &base); err != nil {
			return own, fmt.Errorf("execution document: %w", err)
		}
		own = own.Merge(base)
	}
	if own.Mode == "" {
		own.Mode = messages.ModeLocal
	}
	return own, nil
}

// usableTarget is the target of the documents, refused if this server cannot carry it out. It judges a run when it is
// created, and the documents of a workspace and an organization when they are written, so that nobody learns it only from
// a run. Errors: execution.*.
func (d *DB) usableTarget(own messages.Execution, levels ...[]byte) (messages.Execution, error) {
	out, err := target(own, levels...)
	if err != nil {
		return out, err
	}
	if err := out.Validate(); err != nil {
		return out, err
	}
	switch {
	case out.Mode == messages.ModeAgent && out.AgentPool == "":
		return out, &messages.FieldError{Path: "agent_pool_id", Code: messages.CodeExecutionInvalid,
			Problem: fmt.Sprintf("missing: execution_mode %q needs the pool whose agents carry out the runs", out.Mode)}
	case !slices.Contains(d.modes, out.Mode):
		return out, fail(messages.CodeExecutionUnsupported,
			"execution document: field execution_mode: %q is not available on this server yet; use %q", out.Mode, messages.ModeLocal)
	}
	return out, d.allowedWorkdir(out.Base())
}

// allowedWorkdir refuses an absolute folder that is not, or is not below, one of those that the server was given.
func (d *DB) allowedWorkdir(dir string) error {
	if dir == "" || slices.ContainsFunc(d.workdirs, func(allowed string) bool {
		return dir == allowed || strings.HasPrefix(dir, strings.TrimSuffix(path.Clean(allowed), "/")+"/")
	}) {
		return nil
	}
	where := "none; give a folder inside the configuration, or start the server with --allowed-workdirs"
	if len(d.workdirs) > 0 {
		where = "only what is below " + strings.Join(d.workdirs, ", ")
	}
	return &messages.FieldError{Path: "workdir", Code: messages.CodeExecutionInvalid,
		Problem: fmt.Sprintf("%q is absolute, and of those the server allows %s", dir, where)}
}

// SetOrganizationExecution replaces the organization's (id or name) default document. Runs that exist keep their target.
// Errors: not_found, execution.*.
func (d *DB) SetOrganizationExecution(ctx context.Context, organization string, doc messages.Execution) (Organization, error) {
	if err := doc.Validate(); err != nil {
		return Organization{}, err
	}
	if _, err := d.usableTarget(doc); err != nil {
		return Organization{}, err
	}
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return o, err
	}
	if o.Execution, err = json.Marshal(doc); err != nil {
		return o, err
	}
	return o, d.tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE organizations SET execution = $2 WHERE id = $1`, o.ID, o.Execution)
		return err
	})
}

// Effective is what follows from the organization's document for a workspace without one.
func (o Organization) Effective() (messages.Execution, error) {
	return target(messages.Execution{}, o.Execution)
}
