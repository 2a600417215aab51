package wire_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
)

// What an agent and a server of different versions say to each other. The texts are those of released versions and never change;
// a field of a later version is one that is not known.
func TestAgentsAndServersOfDifferentVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text      string
		got, want any
	}{
		"status of the first workers": {
			`{"v":1,"name":"local-host","slots":2,"busy":1,"refusing":"disk"}`,
			&wire.WorkerStatus{}, &wire.WorkerStatus{V: 1, Name: "local-host", Slots: 2, Busy: 1, Refusing: "disk"},
		},
		"status of the first agents": {
			`{"v":1,"name":"a","slots":2,"busy":1,"labels":["aws"],"version":"v1.0.0","state":"draining","runs":["run-1"],"instance":"X"}`,
			&wire.WorkerStatus{}, &wire.WorkerStatus{V: 1, Name: "a", Slots: 2, Busy: 1, Labels: []string{"aws"}, Version: "v1.0.0",
				State: wire.WorkerDraining, Runs: []string{"run-1"}, Instance: "X"},
		},
		"status of a later agent": {
			`{"v":1,"name":"a","slots":2,"busy":0,"after":"W","mood":{"good":true}}`,
			&wire.WorkerStatus{}, &wire.WorkerStatus{V: 1, Name: "a", Slots: 2, After: "W"},
		},
		"orders of the first servers": {`{}`, &wire.WorkerOrders{}, &wire.WorkerOrders{}},
		"orders of a later server": {
			`{"drain":true,"label_sets":[["aws"]],"rival":"192.0.2.7","upgrade":"v2.0.0"}`,
			&wire.WorkerOrders{}, &wire.WorkerOrders{Drain: true, LabelSets: [][]string{{"aws"}}, Rival: "192.0.2.7"},
		},
		"pool of the first servers": {
			`{"id":"apool-1","name":"aws","organization":"default","version":"v1.0.0"}`,
			&wire.PoolInfo{}, &wire.PoolInfo{ID: "apool-1", Name: "aws", Organization: "default", Version: "v1.0.0"},
		},
		"pool of a later server": {
			`{"id":"apool-1","name":"aws","version":"v1.2.0","time":"2026-11-28T23:00:00Z","region":"eu"}`,
			&wire.PoolInfo{}, &wire.PoolInfo{ID: "apool-1", Name: "aws", Version: "v1.2.0", Time: time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC)},
		},
	} {
		if err := json.NewDecoder(strings.NewReader(c.text)).Decode(c.got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
