package api_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"gantry.example/messages"
)

func TestABackupThatFailsBreaksOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/gantry/v1/backup"
	f.get(path, poolToken).want(http.StatusForbidden, messages.CodeForbidden)
	if got := f.get(path, adminToken).want(http.StatusOK, ""); string(got.body) != "sealed" {
		t.Errorf("got %q, want all of it", got.body)
	}
	f.backupErr = errors.New("the database is gone")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.server.URL+path, nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("a part was taken for the whole")
	}
}
