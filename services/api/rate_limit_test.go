package api_test

import (
	"net/http"
	"strconv"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// TestATokenThatCallsTooOftenWaits: a token's calls are bounded, those of another are not touched by that.
func TestATokenThatCallsTooOftenWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.limit(0.5) // one call now, then one in two seconds
	_, other := f.member("ann", "default", postgres.RoleRead)
	const path = "/api/v2/organizations/default"
	f.get(path, adminToken).want(http.StatusOK, "")
	refused := f.get(path, adminToken).want(http.StatusTooManyRequests, messages.CodeTooManyRequests)
	if wait, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || wait < 1 || wait > 2 {
		t.Errorf("Retry-After: got %q, want a second or two", refused.header.Get("Retry-After"))
	}
	if wait, err := strconv.ParseFloat(refused.header.Get("X-RateLimit-Reset"), 64); err != nil || wait <= 0 || wait > 2 {
		t.Errorf("X-RateLimit-Reset: got %q, want up to two seconds", refused.header.Get("X-RateLimit-Reset"))
	}
	f.get(path, other).want(http.StatusOK, "")
	equal(t, "the bound on ping", f.get("/api/v2/ping", "").header.Get("X-RateLimit-Limit"), "0.5")
}
