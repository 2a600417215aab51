package api_test

import (
	"net/http"
	"strings"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestPlanJSONIsThereWhenItIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	path := "/api/v2/plans/plan-" + strings.TrimPrefix(r.ID, "run-") + "/json-output"
	f.get(path, adminToken).want(http.StatusNoContent, "")
	c := f.planned(r, true)
	f.get(path, adminToken).want(http.StatusNoContent, "") // the plan is over, its JSON follows

	a, err := f.db.AttemptByToken(t.Context(), c.Token)
	must(t, err)
	must(t, f.db.PutPlan(t.Context(), a, postgres.BlobPlanJSON, postgres.InMemory([]byte(`{"format_version":"1.2"}`))))
	got := f.get(path, adminToken)
	equal(t, "JSON plan", []string{string(got.body), got.header.Get("Content-Type")}, []string{`{"format_version":"1.2"}`, "application/json"})
}

// A log's address works without a token and keeps its permission when the client replaces the query.
func TestLogAddresses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	c := f.claim(r.Plan.ID)
	f.start(c)
	must(t, f.db.AppendLog(t.Context(), postgres.LogChunk{AttemptID: c.AttemptID, Data: []byte("planning")}))
	must(t, f.db.AppendLog(t.Context(), postgres.LogChunk{AttemptID: c.AttemptID, Offset: 8, End: true}))
	f.finish(c, wire.Result{Outcome: wire.OutcomeSucceeded})
	suffix := strings.TrimPrefix(r.ID, "run-")
	for path, want := range map[string]string{"/api/v2/plans/plan-" + suffix: "\x02planning\x03", "/api/v2/applies/apply-" + suffix: "\x02\x03"} {
		doc := decoded[resource[attributes]](f.get(path, adminToken), http.StatusOK).Data
		log, ok := strings.CutPrefix(doc.Attributes["log-read-url"].(string), publicURL)
		if !ok || strings.Contains(log, "?") {
			t.Errorf("%s: got log-read-url %v, want one of %s without a query", path, doc.Attributes["log-read-url"], publicURL)
		}
		equal(t, path, string(f.get(log+"?limit=65536&offset=0", "").body), want)
		other := strings.Replace(log, "/logs/"+r.ID, "/logs/run-other", 1)
		f.get(other, "").want(http.StatusNotFound, messages.CodeNotFound)
	}
}
