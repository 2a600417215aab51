package postgres

import (
	"context"
	"fmt"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// lockedWorkspace is a workspace under its row lock. Nothing of it changes until the transaction ends.
func lockedWorkspace(ctx context.Context, tx *txn, id string) (Workspace, *gate, error) {
	g, err := lockGate(ctx, tx, id)
	if err != nil {
		return Workspace{}, nil, err
	}
	var w Workspace // read after the lock was had, so that it is the workspace as it is now
	err = tx.GetContext(ctx, &w, selectWorkspace+` WHERE w.id = $1`, id)
	return w, g, err
}

// heldByRun refuses what needs a workspace without an exclusive run, naming the run that has it. The words "is locked by
// Run" are those that clients of TFE look for.
func (w Workspace) heldByRun() error {
	switch {
	case w.GateRunID == nil:
		return nil
	case w.OutcomeUnknown:
		return fail(messages.CodeWorkspaceLocked, "workspace %s is locked by Run %s, whose outcome is unknown: compare the last saved state with reality (gantry runs recover %[2]s), or force-unlock the workspace", w.path(), *w.GateRunID)
	default:
		return fail(messages.CodeWorkspaceLocked, "workspace %s is locked by Run %s, which is not over: wait for it, or cancel or discard it", w.path(), *w.GateRunID)
	}
}

// heldByOther refuses what the manual lock of another person forbids.
func (w Workspace) heldByOther(by string) error {
	if !w.Locked || w.LockedBy == by {
		return nil
	}
	return fail(messages.CodeWorkspaceLocked, "workspace %s is locked by User %s%s: ask them to unlock it, or force-unlock it", w.path(), w.LockedBy, because(w.LockReason))
}

// path is the workspace's name as people write it.
func (w Workspace) path() string { return w.OrganizationName + "/" + w.Name }

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", reason)
}

// LockWorkspace locks the workspace by hand: no further run is released until it is unlocked. A run that holds the gate
// already goes on, and its end does not unlock. Errors: not_found; workspace.locked when somebody locked it before.
func (d *DB) LockWorkspace(ctx context.Context, id, by, reason string) (Workspace, error) {
	return d.setLock(ctx, id, func(w Workspace) error {
		if w.Locked {
			return fail(messages.CodeWorkspaceLocked, "workspace %s is locked by User %s%s already", w.path(), w.LockedBy, because(w.LockReason))
		}
		return nil
	}, lockChange{locked: true, by: by, reason: reason})
}

// UnlockWorkspace takes the manual lock off and releases the next run in the same transaction. Unless forced, only who
// locked may unlock. Forced, it also frees the workspace of a run whose outcome is unknown: that run stays errored, the
// epoch moves, and what its runner may still send comes too late. A run that is not over is never pushed aside. Errors:
// not_found; workspace.locked (by another, or by a run that is not over); conflict when nobody locked it.
func (d *DB) UnlockWorkspace(ctx context.Context, id, by string, force bool) (Workspace, error) {
	return d.setLock(ctx, id, func(w Workspace) error {
		switch {
		case force && (w.Locked || w.OutcomeUnknown):
			return nil
		case !w.Locked:
			return firstError(w.heldByRun(), fail(messages.CodeConflict, "workspace %s is unlocked: nobody locked it", w.path()))
		default:
			return w.heldByOther(by)
		}
	}, lockChange{by: by, free: force})
}

// lockChange is what happens to a manual lock.
type lockChange struct {
	locked     bool
	by, reason string
	free       bool // release a run whose outcome is unknown, too
}

func (d *DB) setLock(ctx context.Context, id string, allow func(Workspace) error, c lockChange) (Workspace, error) {
	var out Workspace
	err := d.tx(ctx, func(tx *txn) error {
		w, g, err := lockedWorkspace(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := allow(w); err != nil {
			return err
		}
		holder := ""
		if c.locked {
			holder = c.by
		}
		if _, err := tx.ExecContext(ctx, `UPDATE workspaces SET locked = $2, locked_by = $3, lock_reason = $4, updated_at = $5 WHERE id = $1`,
			id, c.locked, holder, c.reason, now()); err != nil {
			return err
		}
		g.Locked = c.locked
		if c.free && w.OutcomeUnknown {
			if err := freeUnknown(ctx, tx, g, c.by); err != nil {
				return err
			}
		}
		if err := releaseNext(ctx, tx, g); err != nil {
			return err
		}
		return tx.GetContext(ctx, &out, selectWorkspace+` WHERE w.id = $1`, id)
	})
	return out, err
}

// freeUnknown ends the hold of the gate's run on a person's word. The epoch moves first, so that nothing of it lands any more.
func freeUnknown(ctx context.Context, tx *txn, g *gate, by string) error {
	g.setEpoch(g.Epoch + 1)
	r, err := lockRun(ctx, tx, *g.Run)
	if err != nil {
		return err
	}
	_, refusal, err := (&locked{tx: tx, ws: g, run: r}).apply(ctx, run.Release{}, Cause{Actor: by})
	return firstError(err, refusal)
}
