package replay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/test/bench/replay"
)

const said = `2026-11-29 10:00:00.000 UTC [7] LOG:  duration: 0.1 ms  statement: SELECT before
2026-11-29 10:00:00.001 UTC [9] LOG:  duration: 0.1 ms  statement: SELECT 'replay begins'
2026-11-29 10:00:00.002 UTC [7] LOG:  duration: 0.1 ms  statement: BEGIN READ WRITE
2026-11-29 10:00:00.002 UTC [7] LOG:  duration: 0.1 ms  bind 1: UPDATE t SET a = $1,
	b = $2
2026-11-29 10:00:00.002 UTC [7] DETAIL:  parameters: $1 = 'of the bind', $2 = NULL
2026-11-29 10:00:00.002 UTC [7] LOG:  duration: 0.1 ms  execute 1: UPDATE t SET a = $1,
	b = $2
2026-11-29 10:00:00.002 UTC [7] DETAIL:  parameters: $1 = 'it''s = 1, $2', $2 = NULL
2026-11-29 10:00:00.003 UTC [8] LOG:  duration: 0.1 ms  execute 1: SELECT $1
2026-11-29 10:00:00.003 UTC [8] DETAIL:  parameters: $1 = ''
2026-11-29 10:00:00.004 UTC [7] LOG:  duration: 0.1 ms  statement: COMMIT
2026-11-29 10:00:00.005 UTC [8] LOG:  duration: 0.1 ms  statement: BEGIN READ WRITE
2026-11-29 10:00:00.005 UTC [8] LOG:  duration: 0.1 ms  execute 2: SELECT 1 FROM e WHERE NOT pg_visible_in_snapshot(xid, $1::pg_snapshot)
2026-11-29 10:00:00.005 UTC [8] LOG:  duration: 0.1 ms  statement: COMMIT
2026-11-29 10:00:00.006 UTC [8] LOG:  duration: 0.1 ms  statement: BEGIN READ WRITE
2026-11-29 10:00:00.006 UTC [8] LOG:  duration: 0.1 ms  execute 1: SELECT $1
2026-11-29 10:00:00.006 UTC [8] DETAIL:  parameters: $1 = 'undone'
2026-11-29 10:00:00.006 UTC [8] LOG:  duration: 0.1 ms  statement: ROLLBACK
2026-11-29 10:00:00.007 UTC [7] LOG:  duration: 0.1 ms  statement: BEGIN READ WRITE
2026-11-29 10:00:00.008 UTC [7] LOG:  duration: 0.1 ms  execute 3: DELETE FROM t WHERE a = $1
2026-11-29 10:00:00.008 UTC [7] DETAIL:  parameters: $1 = '3'
2026-11-29 10:00:00.009 UTC [7] LOG:  duration: 0.1 ms  statement: COMMIT
2026-11-29 10:00:00.010 UTC [9] LOG:  duration: 0.1 ms  statement: SELECT 'replay ends'
2026-11-29 10:00:00.011 UTC [7] LOG:  duration: 0.1 ms  statement: SELECT after
`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := replay.Parse(strings.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	param := func(s string) *string { return &s }
	begin, commit := replay.Statement{Text: "BEGIN READ WRITE"}, replay.Statement{Text: "COMMIT"}
	want := replay.Recording{Connections: 2, Statements: 3, Transactions: []replay.Transaction{
		{Statements: []replay.Statement{{Text: "SELECT $1", Prepared: true, Params: []*string{param("")}}}},
		{Statements: []replay.Statement{begin,
			{Text: "UPDATE t SET a = $1,\nb = $2", Prepared: true, Params: []*string{param("it's = 1, $2"), nil}}, commit}},
		{Statements: []replay.Statement{begin,
			{Text: "DELETE FROM t WHERE a = $1", Prepared: true, Params: []*string{param("3")}}, commit}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recording (-want +got):\n%s", diff)
	}
	if got, err := replay.Parse(strings.NewReader(strings.SplitAfter(said, "DELETE")[0])); err == nil {
		t.Errorf("a log that ends too early: got %v, want an error", got)
	}
}

func TestWhatNamesTheSameNewRowKeepsItsOrder(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	say := func(pid int, text, params string) {
		fmt.Fprintf(&log, "2026-11-29 10:00:00.000 UTC [%d] LOG:  duration: 0.1 ms  execute 1: %s\n", pid, text)
		fmt.Fprintf(&log, "2026-11-29 10:00:00.000 UTC [%d] DETAIL:  parameters: %s\n", pid, params)
	}
	say(1, "SELECT $1", "$1 = 'ws-aaaaaaaaaaaaaaaa'")
	fmt.Fprintln(&log, "2026-11-29 10:00:00.000 UTC [9] LOG:  duration: 0.1 ms  statement: "+replay.Begin)
	say(1, "SELECT $1", "$1 = 'ws-aaaaaaaaaaaaaaaa'")                                 // 0
	say(2, "INSERT $1 $2", "$1 = 'run-1111111111111111', $2 = '1'")                   // 1
	say(3, "INSERT $1 $2", "$1 = 'run-2222222222222222', $2 = 'ws-aaaaaaaaaaaaaaaa'") // 2
	say(1, "UPDATE $1", "$1 = 'ws-aaaaaaaaaaaaaaaa'")                                 // 3
	say(1, "UPDATE $1 $2", "$1 = '{run-2222222222222222,run-1111111111111111}', $2 = '1'")
	say(2, "SELECT $1", "$1 = 'run-2222222222222222'") // 5
	say(2, "DELETE $1", "$1 = 'run-2222222222222222'") // 6
	fmt.Fprintln(&log, "2026-11-29 10:00:00.000 UTC [9] LOG:  duration: 0.1 ms  statement: "+replay.End)
	fmt.Fprintln(&log, "2026-11-29 10:00:00.000 UTC [9] LOG:  end")
	recording, err := replay.Parse(strings.NewReader(log.String()))
	if err != nil {
		t.Fatal(err)
	}
	var got [][]int
	for _, tx := range recording.Transactions {
		got = append(got, tx.After)
	}
	want := [][]int{nil, nil, nil, nil, {1, 2}, {2}, {4}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}
