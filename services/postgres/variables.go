package postgres

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"gantry.example/internal/variable"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Variable is a variable of a workspace or of a variable set.
type Variable struct {
	ID          string
	Holder      Holder
	Description string
	VersionID   string // another one after each change
	wire.Variable
}

// Holder is what variables belong to: a workspace, or a variable set. One of the two is empty.
type Holder struct {
	WorkspaceID string
	SetID       string
}

// NewVariable is what a variable is created from.
type NewVariable struct {
	wire.Variable
	Description string
}

// VariableChange is a partial update: nil fields stay.
type VariableChange struct {
	Key, Value, Category, Description *string
	HCL, Sensitive                    *bool
}

const selectVariable = `SELECT id, workspace_id, set_id, category, key, sealed, hcl, sensitive, description, version_id FROM variables`

type variableRow struct {
	ID          string  `db:"id"`
	WorkspaceID *string `db:"workspace_id"`
	SetID       *string `db:"set_id"`
	Category    string  `db:"category"`
	Key         string  `db:"key"`
	Sealed      []byte  `db:"sealed"`
	HCL         bool    `db:"hcl"`
	Sensitive   bool    `db:"sensitive"`
	Description string  `db:"description"`
	VersionID   string  `db:"version_id"`
}

func (h Holder) columns() (workspace, set any) {
	if h.SetID != "" {
		return nil, h.SetID
	}
	return h.WorkspaceID, nil
}

// where selects the variables of the holder, whose id is the query's first argument.
func (h Holder) where() (condition, id string) {
	if h.SetID != "" {
		return ` WHERE set_id = $1`, h.SetID
	}
	return ` WHERE workspace_id = $1`, h.WorkspaceID
}

func variablePlace(id string) []byte { return []byte("variables/" + id) }

func (d *DB) openVariable(row variableRow) (Variable, error) {
	plain, err := d.seal.Open(row.Sealed, variablePlace(row.ID))
	if err != nil {
		return Variable{}, fmt.Errorf("variable %s: %w", row.ID, err)
	}
	v := Variable{ID: row.ID, Description: row.Description, VersionID: row.VersionID, Variable: wire.Variable{
		Key: row.Key, Value: string(plain), Category: row.Category, HCL: row.HCL, Sensitive: row.Sensitive,
	}}
	if row.WorkspaceID != nil {
		v.Holder.WorkspaceID = *row.WorkspaceID
	}
	if row.SetID != nil {
		v.Holder.SetID = *row.SetID
	}
	return v, nil
}

// Variables lists the variables of the holder by key. The holder exists, or has none.
func (d *DB) Variables(ctx context.Context, h Holder) ([]Variable, error) {
	where, id := h.where()
	var rows []variableRow
	if err := d.q(ctx).SelectContext(ctx, &rows, selectVariable+where+` ORDER BY key, category`, id); err != nil {
		return nil, err
	}
	out := make([]Variable, len(rows))
	for i, row := range rows {
		var err error
		if out[i], err = d.openVariable(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Variable returns a variable. An empty Holder finds it wherever it is. Errors: not_found.
func (d *DB) Variable(ctx context.Context, h Holder, id string) (Variable, error) {
	return d.variable(ctx, d.q(ctx), h, id, "")
}

func (d *DB) variable(ctx context.Context, q querier, h Holder, id, lock string) (Variable, error) {
	var row variableRow
	err := q.GetContext(ctx, &row, selectVariable+` WHERE id = $1`+lock, id)
	if noRows(err) {
		return Variable{}, notFound("variable", id)
	}
	if err != nil {
		return Variable{}, err
	}
	v, err := d.openVariable(row)
	if err == nil && h != (Holder{}) && v.Holder != h {
		return Variable{}, notFound("variable", id)
	}
	return v, err
}

// CreateVariable creates a variable. Errors: not_found (holder), invalid, name_taken.
func (d *DB) CreateVariable(ctx context.Context, h Holder, in NewVariable) (Variable, error) {
	v := Variable{ID: messages.NewID("var-"), Holder: h, Description: in.Description, VersionID: messages.NewID(""), Variable: in.Variable}
	if err := v.check(); err != nil {
		return Variable{}, err
	}
	sealed, err := d.seal.Seal([]byte(v.Value), variablePlace(v.ID))
	if err != nil {
		return Variable{}, err
	}
	workspace, set := h.columns()
	_, err = d.q(ctx).ExecContext(ctx, `
		INSERT INTO variables (id, workspace_id, set_id, category, key, sealed, hcl, sensitive, description, version_id, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`,
		v.ID, workspace, set, v.Category, v.Key, sealed, v.HCL, v.Sensitive, v.Description, v.VersionID, now())
	if refersToNothing(err) {
		return Variable{}, notFound("workspace or variable set", h.WorkspaceID+h.SetID)
	}
	return v, v.taken(err)
}

// taken turns a key that is there already into an error that says so.
func (v Variable) taken(err error) error {
	if uniqueViolation(err) {
		return fail(messages.CodeNameTaken, "field key: there is a %s variable %q already: change that one, or delete it", v.Category, v.Key)
	}
	return err
}

func (v Variable) check() error {
	var problem *variable.Error
	if err := variable.Check(v.Variable); errors.As(err, &problem) {
		return fail(messages.CodeInvalid, "%s", problem.Error())
	} else if err != nil {
		return err
	}
	if utf8.RuneCountInString(v.Description) > variable.MaxDescription {
		return fail(messages.CodeInvalid, "field description: longer than %d characters", variable.MaxDescription)
	}
	return nil
}

// UpdateVariable changes a variable. What is sensitive stays so: nothing turns its value into one that can be read. Errors:
// not_found, invalid, name_taken.
func (d *DB) UpdateVariable(ctx context.Context, h Holder, id string, c VariableChange) (Variable, error) {
	var out Variable
	err := d.tx(ctx, func(tx *txn) error {
		v, err := d.variable(ctx, tx, h, id, ` FOR UPDATE`)
		if err != nil {
			return err
		}
		if out, err = c.applied(v); err != nil {
			return err
		}
		if err := out.check(); err != nil {
			return err
		}
		sealed, err := d.seal.Seal([]byte(out.Value), variablePlace(id))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE variables SET category = $2, key = $3, sealed = $4, hcl = $5, sensitive = $6, description = $7, version_id = $8, updated_at = $9
			WHERE id = $1`, id, out.Category, out.Key, sealed, out.HCL, out.Sensitive, out.Description, out.VersionID, now())
		return out.taken(err)
	})
	return out, err
}

func (c VariableChange) applied(v Variable) (Variable, error) {
	old := v
	for _, text := range []struct{ to, from *string }{
		{&v.Key, c.Key}, {&v.Value, c.Value}, {&v.Category, c.Category}, {&v.Description, c.Description},
	} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	for _, flag := range []struct{ to, from *bool }{{&v.HCL, c.HCL}, {&v.Sensitive, c.Sensitive}} {
		if flag.from != nil {
			*flag.to = *flag.from
		}
	}
	if old.Sensitive && !v.Sensitive {
		return v, fail(messages.CodeInvalid, "field sensitive: variable %q is sensitive and stays so: delete it and create another one", old.Key)
	}
	v.VersionID = messages.NewID("")
	return v, nil
}

// DeleteVariable deletes a variable. Runs that were planned keep its value. Errors: not_found.
func (d *DB) DeleteVariable(ctx context.Context, h Holder, id string) error {
	workspace, set := h.columns()
	res, err := d.q(ctx).ExecContext(ctx, `
		DELETE FROM variables WHERE id = $1 AND ($2::text IS NULL AND $3::text IS NULL OR workspace_id = $2 OR set_id = $3)`, id, nonEmpty(workspace), set)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, notFound("variable", id))
	}
	return nil
}

func nonEmpty(v any) any {
	if v == "" {
		return nil
	}
	return v
}
