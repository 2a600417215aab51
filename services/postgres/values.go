package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// Where a value comes from, strongest first, as TFE documents it; see selectCandidates. The files of a configuration are
// weaker than all of them.
const (
	rankGiven = 0 // what this attempt, or the plan of this apply, was given
	rankRun   = 3
)

// candidate is a value that a run may get, or a sealed list of them.
type candidate struct {
	Rank int    `db:"rank"`
	Set  string `db:"set_name"`
	variableRow
}

// selectCandidates lists, strongest first, all that is there for a workspace ($1) of an organization ($2), and, sealed as a
// whole, what two attempts ($3, $4) were given and what a run ($5) brought along: priority sets for all workspaces (1) and
// for some (2), the run (3), the workspace (4), sets for some workspaces (5), for a project (6) and for all (7). Of two sets of a rank the one
// whose name comes first in the alphabet wins.
const selectCandidates = `
	SELECT * FROM (
		SELECT 0 AS rank, '' AS set_name, attempt_id AS id, NULL AS workspace_id, NULL AS set_id, '' AS category, '' AS key, sealed,
		       false AS hcl, false AS sensitive, '' AS description, '' AS version_id
		FROM attempt_variables WHERE attempt_id = $3 OR attempt_id = $4
		UNION ALL SELECT 3, '', run_id, NULL, NULL, '', '', sealed, false, false, '', '' FROM run_variables WHERE run_id = $5
		UNION ALL SELECT 4, '', id, workspace_id, set_id, category, key, sealed, hcl, sensitive, description, version_id
		FROM variables WHERE workspace_id = $1
		UNION ALL SELECT CASE WHEN s.global AND s.priority THEN 1 WHEN s.priority THEN 2 WHEN s.global THEN 7
		       WHEN EXISTS (SELECT 1 FROM variable_set_workspaces m WHERE m.set_id = s.id AND m.workspace_id = $1) THEN 5 ELSE 6 END,
		       s.name, v.id, v.workspace_id, v.set_id, v.category, v.key, v.sealed, v.hcl, v.sensitive, v.description, v.version_id
		FROM variable_sets s JOIN variables v ON v.set_id = s.id
		WHERE s.organization_id = $2 AND (s.global OR EXISTS (SELECT 1 FROM variable_set_workspaces m WHERE m.set_id = s.id AND m.workspace_id = $1)
		  OR EXISTS (SELECT 1 FROM variable_set_projects m JOIN workspaces w ON w.id = $1 AND COALESCE(w.project_id, 'prj-' || substr(w.organization_id, 5)) = m.project_id
		             WHERE m.set_id = s.id))
	) c ORDER BY rank, set_name COLLATE "C", category, key`

// giveValues decides which values an attempt gets, and remembers them. A plan gets what holds now. An apply gets terraform's
// values as its plan had them, because the plan is made of them, and the rest of the environment as it is now, so that a
// credential that was renewed since counts. Asked again it gives the same.
func (d *DB) giveValues(ctx context.Context, tx *txn, r run.Run, attemptID string) ([]wire.Variable, error) {
	var planned string
	if t, _ := r.Attempt(attemptID); t.Phase == messages.PhaseApply && r.Plan.Last() != nil {
		planned = r.Plan.Last().ID
	}
	all, err := d.candidates(ctx, tx, Workspace{ID: r.WorkspaceID, OrganizationID: r.OrganizationID}, r.ID, attemptID, planned)
	if err != nil {
		return nil, err
	}
	var given []wire.Variable
	for _, c := range all {
		if c.rank == rankGiven && c.attempt == attemptID {
			return c.list, nil
		}
		if c.rank == rankGiven {
			given = slices.DeleteFunc(c.list, func(v wire.Variable) bool { return !planValue(v) })
		}
	}
	values := plainValues(strongest(all))
	if planned != "" {
		values = append(given, slices.DeleteFunc(values, planValue)...)
	}
	return values, d.keepValues(ctx, tx, r.ID, attemptID, values)
}

// planValue reports whether a plan is made of the value: terraform refuses to apply a plan with another one.
func planValue(v wire.Variable) bool {
	return v.Category == wire.CategoryTerraform || strings.HasPrefix(v.Key, "TF_VAR_")
}

// offer is what one place has for a run.
type offer struct {
	rank    int
	attempt string   // of rankGiven
	of      Variable // the variable itself; of a run its value alone
	list    []wire.Variable
}

func (d *DB) candidates(ctx context.Context, q sqlx.QueryerContext, w Workspace, runID string, attempts ...string) ([]offer, error) {
	args := append([]string{w.ID, w.OrganizationID}, attempts...)
	for len(args) < 4 {
		args = append(args, "")
	}
	var rows []candidate
	if err := sqlx.SelectContext(ctx, q, &rows, selectCandidates, args[0], args[1], args[2], args[3], runID); err != nil {
		return nil, fmt.Errorf("read the variables of workspace %s: %w", w.ID, err)
	}
	out := make([]offer, len(rows))
	for i, row := range rows {
		out[i].rank = row.Rank
		var err error
		switch row.Rank {
		case rankGiven:
			out[i].attempt = row.ID
			out[i].list, err = d.openValues(row.Sealed, attemptPlace(row.ID))
		case rankRun:
			out[i].list, err = d.openRunVariables(row.Sealed, row.ID)
		default:
			out[i].of, err = d.openVariable(row.variableRow)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// strongest picks for each key of a category the first offer. It is sensitive if any is: somebody meant that key to be.
func strongest(all []offer) []Variable {
	type name struct{ category, key string }
	at := map[name]int{}
	var out []Variable
	add := func(v Variable) {
		n := name{v.Category, v.Key}
		if i, there := at[n]; there {
			out[i].Sensitive = out[i].Sensitive || v.Sensitive
			return
		}
		at[n] = len(out)
		out = append(out, v)
	}
	for _, o := range all {
		switch o.rank {
		case rankGiven:
		case rankRun:
			for _, v := range slices.Backward(o.list) { // of a key that is given twice the last one counts
				add(Variable{Variable: v})
			}
		default:
			add(o.of)
		}
	}
	return out
}

func plainValues(all []Variable) []wire.Variable {
	out := make([]wire.Variable, len(all))
	for i, v := range all {
		out[i] = v.Variable
	}
	return out
}

// EffectiveVariables are the variables that a run of the workspace gets from it and from variable sets, by key; of each key
// of a category the one that wins.
func (d *DB) EffectiveVariables(ctx context.Context, w Workspace) ([]Variable, error) {
	all, err := d.candidates(ctx, d.q(ctx), w, "")
	if err != nil {
		return nil, err
	}
	out := strongest(all)
	slices.SortStableFunc(out, func(a, b Variable) int { return strings.Compare(a.Key+" "+a.Category, b.Key+" "+b.Category) })
	return out, nil
}

func attemptPlace(attemptID string) []byte { return []byte("attempt-variables/" + attemptID) }

func (d *DB) keepValues(ctx context.Context, tx *txn, runID, attemptID string, values []wire.Variable) error {
	if len(values) == 0 {
		return nil
	}
	plain, err := json.Marshal(values)
	if err != nil {
		return err
	}
	sealed, err := d.seal.Seal(plain, attemptPlace(attemptID))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO attempt_variables (attempt_id, run_id, sealed, created_at) VALUES ($1, $2, $3, $4)`,
		attemptID, runID, sealed, now())
	return err
}

func (d *DB) openValues(sealed, place []byte) ([]wire.Variable, error) {
	plain, err := d.seal.Open(sealed, place)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	var out []wire.Variable
	return out, json.Unmarshal(plain, &out)
}

// givenValues are those that the attempt was given.
func (d *DB) givenValues(ctx context.Context, attemptID string) ([]wire.Variable, error) {
	var sealed []byte
	err := d.q(ctx).GetContext(ctx, &sealed, `SELECT sealed FROM attempt_variables WHERE attempt_id = $1`, attemptID)
	if noRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d.openValues(sealed, attemptPlace(attemptID))
}

// putRunVariables stores what a run brings along.
func (d *DB) putRunVariables(ctx context.Context, tx *txn, runID string, vars []wire.RunVariable) error {
	if len(vars) == 0 {
		return nil
	}
	plain, err := json.Marshal(vars)
	if err != nil {
		return err
	}
	sealed, err := d.seal.Seal(plain, []byte("run-variables/"+runID))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO run_variables (run_id, sealed) VALUES ($1, $2)`, runID, sealed)
	return err
}

func (d *DB) openRunVariables(sealed []byte, runID string) ([]wire.Variable, error) {
	plain, err := d.seal.Open(sealed, []byte("run-variables/"+runID))
	if err != nil {
		return nil, fmt.Errorf("variables of run %s: %w", runID, err)
	}
	var given []wire.RunVariable
	if err := json.Unmarshal(plain, &given); err != nil {
		return nil, err
	}
	out := make([]wire.Variable, len(given))
	for i, v := range given {
		out[i] = wire.Variable{Key: v.Key, Value: v.Value, Category: wire.CategoryTerraform, HCL: true}
	}
	return out, nil
}

// RunValues are all values that the attempts of a run were given: what of its plan no page may show is among them.
func (d *DB) RunValues(ctx context.Context, runID string) ([]wire.Variable, error) {
	var rows []struct {
		Attempt string `db:"attempt_id"`
		Sealed  []byte `db:"sealed"`
	}
	if err := d.q(ctx).SelectContext(ctx, &rows, `SELECT attempt_id, sealed FROM attempt_variables WHERE run_id = $1`, runID); err != nil {
		return nil, err
	}
	var out []wire.Variable
	for _, row := range rows {
		values, err := d.openValues(row.Sealed, attemptPlace(row.Attempt))
		if err != nil {
			return nil, err
		}
		out = append(out, values...)
	}
	return out, nil
}
