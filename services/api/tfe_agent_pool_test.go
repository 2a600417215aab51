package api_test

import (
	"net/http"
	"strings"
	"testing"

	"gantry.example/messages"
)

// TestThePoolsLease: a pool has the server's lease until it is given one of its own.
func TestThePoolsLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/v2/agent-pools/"
	pool := decoded[resource[attributes]](f.post("/api/v2/organizations/default/agent-pools", adminToken, doc("agent-pools", attributes{"name": "far"})), http.StatusCreated).Data
	equal(t, "of a new pool", pool.Attributes["lease-ttl-seconds"], any(0.0))
	changed := decoded[resource[attributes]](f.patch(path+pool.ID, adminToken, doc("agent-pools", attributes{"lease-ttl-seconds": 60})), http.StatusOK).Data
	equal(t, "changed", changed.Attributes["lease-ttl-seconds"], any(60.0))
	renamed := decoded[resource[attributes]](f.patch(path+pool.ID, adminToken, doc("agent-pools", attributes{"name": "farther"})), http.StatusOK).Data
	equal(t, "after a change of something else", renamed.Attributes["lease-ttl-seconds"], any(60.0))
	refused := f.patch(path+pool.ID, adminToken, doc("agent-pools", attributes{"lease-ttl-seconds": 4})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	if want := "field lease-ttl-seconds: 4: want 5 to 300"; !strings.Contains(string(refused.body), want) {
		t.Errorf("got %s, want %q", refused.body, want)
	}
}
