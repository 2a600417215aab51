package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

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

// place is whose target is judged.
type place struct {
	organization string // id
	workspace    string // id; empty for the defaults of an organization
	name         string // of the workspace
}

// usableTarget is the target of the documents, with the id of its pool, refused if this server cannot carry it out. It
// judges a run when it is created, and the documents of a workspace and an organization when they are written, so that nobody
// learns it only from a run. Errors: execution.*.
func (d *DB) usableTarget(ctx context.Context, q querier, at place, own messages.Execution, levels ...[]byte) (messages.Execution, error) {
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
	case out.Mode == messages.ModeK8s && out.K8sConfig == "":
		return out, &messages.FieldError{Path: "k8s_config_id", Code: messages.CodeExecutionInvalid,
			Problem: fmt.Sprintf("missing: execution_mode %q needs the k8s config whose cluster carries out the runs; see gantry k8s list", out.Mode)}
	}
	switch out.Mode {
	case messages.ModeAgent:
		out.AgentPool, err = usablePool(ctx, q, at, out.AgentPool)
	case messages.ModeK8s:
		out, err = usableConfig(ctx, q, at, out)
	}
	if err != nil {
		return out, err
	}
	return out, d.allowedWorkdir(out.Base())
}

// usablePool finds the pool that an execution document names by id, name or number, and keeps it from being deleted until the
// transaction ends.
func usablePool(ctx context.Context, q querier, at place, ref messages.Ref) (messages.Ref, error) {
	var p struct {
		ID      messages.Ref `db:"id"`
		Name    string       `db:"name"`
		Allowed bool         `db:"allowed"`
	}
	err := q.GetContext(ctx, &p, `
		SELECT p.id, p.name, p.organization_scoped OR $3 = '' OR EXISTS (
		         SELECT 1 FROM pool_workspaces w WHERE w.pool_id = p.id AND w.workspace_id = $3) AS allowed
		FROM pools p
		WHERE p.organization_id = $1 AND p.mode = $4 AND (p.id = $2 OR lower(p.name) = lower($2) OR p.number::text = $2)
		ORDER BY p.id = $2 DESC LIMIT 1 FOR KEY SHARE OF p`, at.organization, ref, at.workspace, messages.ModeAgent)
	switch {
	case noRows(err):
		return ref, &messages.FieldError{Path: "agent_pool_id", Code: messages.CodeExecutionInvalid,
			Problem: fmt.Sprintf("the organization has no pool %q; see gantry pools list", ref)}
	case err == nil && !p.Allowed:
		return ref, &messages.FieldError{Path: "agent_pool_id", Code: messages.CodeExecutionInvalid,
			Problem: fmt.Sprintf("pool %s is for chosen workspaces only, and %s is none of them: an admin adds it with gantry pools edit", p.Name, at.name)}
	}
	return p.ID, err
}

// poolOf is where the tasks of a target queue.
func poolOf(target messages.Execution) string {
	switch target.Mode {
	case messages.ModeAgent:
		return string(target.AgentPool)
	case messages.ModeK8s:
		return string(target.K8sConfig)
	default:
		return messages.LocalPool
	}
}

// settle is the document to store instead of one that follows to the usable target: it names a pool or k8s config by its id, so
// that it may get another name.
func settle(doc, target messages.Execution) messages.Execution {
	if doc.AgentPool != "" {
		doc.AgentPool = target.AgentPool
	}
	if doc.K8sConfig != "" {
		doc.K8sConfig = target.K8sConfig
	}
	return doc
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
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return o, err
	}
	target, err := d.usableTarget(ctx, d.q(ctx), place{organization: o.ID}, doc)
	if err != nil {
		return Organization{}, err
	}
	if o.Execution, err = json.Marshal(settle(doc, target)); err != nil {
		return o, err
	}
	return o, d.tx(ctx, func(tx *txn) error {
		_, err := tx.ExecContext(ctx, `UPDATE organizations SET execution = $2 WHERE id = $1`, o.ID, o.Execution)
		return err
	})
}

// Effective is what follows from the organization's document for a workspace without one.
func (o Organization) Effective() (messages.Execution, error) {
	return target(messages.Execution{}, o.Execution)
}
