package postgres

import (
	"context"
	"encoding/json"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Word is what a worker said about itself, and where it called from.
type Word struct {
	wire.WorkerStatus
	Address string `json:"address"`
}

// rivalWithin is how long after another worker's word one of the same name is told of it: they speak every 10 s.
const rivalWithin = 15 * time.Second

// All workers together say about so many words a second, and each at least one in maxWordPause.
const (
	wordsPerSecond = 200
	maxWordPause   = 10 * time.Second
)

// SawWorker is SawWorkers of one.
func (d *DB) SawWorker(ctx context.Context, pool, address string, w wire.WorkerStatus) (wire.WorkerOrders, error) {
	out, err := d.SawWorkers(ctx, pool, []Word{{WorkerStatus: w, Address: address}})
	if err != nil {
		return wire.WorkerOrders{}, err
	}
	return out[0], nil
}

// SawWorkers keeps what workers of the pool, each of another name, say about themselves, and returns what each is told, in the same
// order. Of one that has a rival nothing is kept.
func (d *DB) SawWorkers(ctx context.Context, pool string, words []Word) ([]wire.WorkerOrders, error) {
	told, err := d.keepWords(ctx, pool, words)
	if err != nil {
		return nil, err
	}
	sets, err := d.LabelSets(ctx, pool)
	if err != nil {
		return nil, err
	}
	out := make([]wire.WorkerOrders, len(words))
	for i, w := range words {
		t, kept := told[w.Name]
		if !kept {
			err := d.q(ctx).GetContext(ctx, &out[i].Rival, `SELECT COALESCE(NULLIF(address, ''), 'an unknown address') FROM workers WHERE pool_id = $1 AND name = $2`, pool, w.Name)
			if err != nil {
				return nil, err
			}
			continue
		}
		out[i] = wire.WorkerOrders{Drain: t.Drain, LabelSets: sets, PauseSeconds: int(min(maxWordPause.Seconds(), float64(t.Present/wordsPerSecond)))}
	}
	return out, nil
}

// toldWorker is what is known of a worker once its word is kept.
type toldWorker struct {
	Name    string `db:"name"`
	Drain   bool   `db:"drain"`
	Present int    `db:"present"` // workers that are there, of all pools
	Quick   string `db:"quick"`
}

// keepWords stores the words and returns, by name, those that had no rival.
func (d *DB) keepWords(ctx context.Context, pool string, words []Word) (map[string]toldWorker, error) {
	type row struct {
		Word
		ID string `json:"id"`
	}
	rows := make([]row, len(words))
	for i, w := range words {
		rows[i] = row{w, messages.NewID("agent-")}
	}
	doc, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	// A new process of the name was asked nothing yet. A name is that of the process that speaks under it, until it is silent,
	// has ended, or is followed by another in its folder. What thousands say every few seconds is not worth waiting for the disk.
	// In the order of names, so that two servers do not wait for each other.
	var told []toldWorker
	at := now()
	err = d.q(ctx).SelectContext(ctx, &told, `
		WITH said AS (
		  SELECT name, slots, busy, COALESCE(refusing, '') AS refusing, id, COALESCE(labels, '[]') AS labels, COALESCE(version, '') AS version, address,
		         COALESCE(runs, '[]') AS runs, COALESCE(state, '') AS state, COALESCE(instance, '') AS instance, COALESCE(after, '') AS after
		  FROM jsonb_to_recordset($2::jsonb) AS s (name text, slots int, busy int, refusing text, id text, labels jsonb, version text, address text,
		       runs jsonb, state text, instance text, after text))
		INSERT INTO workers AS w (pool_id, name, slots, busy, refusing, seen_at, id, labels, version, address, runs, state, instance, first_seen_at)
		SELECT $1, name, slots, busy, refusing, $3, id, labels, version, address, runs, state, instance, $3 FROM said ORDER BY name
		ON CONFLICT (pool_id, name) DO UPDATE SET slots = excluded.slots, busy = excluded.busy, refusing = excluded.refusing, seen_at = $3,
		  id = COALESCE(w.id, excluded.id), labels = excluded.labels, version = excluded.version, address = excluded.address, runs = excluded.runs,
		  state = excluded.state, instance = excluded.instance, drain = w.drain AND w.instance = excluded.instance,
		  first_seen_at = CASE WHEN w.instance = excluded.instance THEN COALESCE(w.first_seen_at, $3) ELSE $3 END
		WHERE excluded.instance = '' OR w.instance IN ('', excluded.instance, (SELECT after FROM said WHERE name = excluded.name))
		   OR w.state = 'exited' OR w.seen_at <= $4
		RETURNING name, drain, (SELECT count(*) FROM workers WHERE seen_at > $4) AS present, set_config('synchronous_commit', 'off', true) AS quick`,
		pool, doc, at, at.Add(-rivalWithin))
	out := make(map[string]toldWorker, len(told))
	for _, t := range told {
		out[t.Name] = t
	}
	return out, err
}
