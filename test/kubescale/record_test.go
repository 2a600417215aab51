package kubescale_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
)

// recordFile holds what was measured when a figure was best, or when somebody decided that it may be worse from now on.
const recordFile = "record.json"

// share is how much of its record a figure has to reach.
const share = 0.8

// hold compares a figure, which is better the less it is, with its record: with GATE=1 one that is above record / 80 % fails, with RECORD=1
// it becomes the record. Only what hardly depends on the machine and its load has one: counts, sizes, processor time and medians beside those
// of a bare loop in the same run. Rates are shown: beside one another on a busy machine they differ twofold by chance.
func hold(b *testing.B, name string, value float64) {
	b.Helper()
	b.ReportMetric(value, name)
	records := map[string]float64{}
	text, err := os.ReadFile(recordFile)
	must(b, err)
	must(b, json.Unmarshal(text, &records))
	if os.Getenv("RECORD") == "1" {
		records[name] = value
		text, err := json.MarshalIndent(records, "", "  ")
		must(b, err)
		must(b, os.WriteFile(recordFile, append(text, '\n'), 0o644)) //nolint:gosec // for everybody
		return
	}
	record, known := records[name]
	if !known {
		b.Fatalf("%s has no record; %s has %v: make one with RECORD=1", name, recordFile, slices.Sorted(maps.Keys(records)))
	}
	limit := record / share
	missed := value > limit
	switch {
	case missed && os.Getenv("GATE") == "1":
		b.Errorf("%s: got %.3f, want at most %.3f, for a record of %.3f", name, value, limit, record)
	case missed:
		b.Logf("%s: got %.3f, which GATE=1 would refuse: the limit is %.3f, the record %.3f", name, value, limit, record)
	}
}
