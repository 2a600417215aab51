package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTeams gives somebody who only reads the organization more in one workspace, by a team, and a program the team's token.
func TestTeams(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("users", "new", "ann", "--role", "read", "--password-file", secret)
	s.must("workspaces", "new", "default/net")
	s.must("workspaces", "new", "default/dns")

	s.expect(0, "gantry teams role default/deployers WORKSPACE ROLE", "teams", "new", "default/deployers")
	s.expect(1, `team named "deployers" already`, "teams", "new", "default/deployers")
	s.expect(1, `user "bob" does not exist`, "teams", "add", "default/deployers", "ann", "bob")
	s.expect(0, "ann is in team default/deployers now.", "teams", "add", "default/deployers", "ann")
	s.expect(0, "ann", "teams", "list", "default")
	s.expect(1, "USER is missing", "teams", "add", "default/deployers")
	s.expect(1, `"apply" is not one of`, "teams", "role", "default/deployers", "net", "apply")
	s.expect(1, "team default/nobody does not exist", "teams", "role", "default/nobody", "net", "plan")

	s.expect(0, "has the role write in net now", "teams", "role", "default/deployers", "net", "write")
	s.expect(0, "has the role plan in net now", "teams", "role", "default/deployers", "default/net", "plan")
	s.expect(0, "plan", "teams", "list", "default", "--workspace", "net")
	team := s.as(strings.TrimSpace(s.must("teams", "tokens", "new", "default/deployers").stdout))
	s.expect(1, "a token with this description already", "teams", "tokens", "new", "default/deployers")
	dir := config(t, `resource "terraform_data" "x" {}`)
	if r := team.gantry("run", dir, "-w", "default/net"); r.code != 5 {
		t.Errorf("gantry run by a team that may plan: got %s, want exit code 5: it waits for approval", r)
	}
	team.expect(1, "role plan", "run", dir, "-w", "default/dns")
	s.expect(0, "has no role in net now", "teams", "role", "default/deployers", "net", "none")
	team.expect(1, "role plan", "run", dir, "-w", "default/net")

	list := s.must("teams", "tokens", "list", "default/deployers").stdout
	id := strings.Fields(list[strings.Index(list, "\nat-"):])[0]
	s.expect(1, "has no token at-other", "teams", "tokens", "revoke", "default/deployers", "at-other")
	s.expect(0, "Revoked token "+id, "teams", "tokens", "revoke", "default/deployers", id)
	team.expect(1, "revoked", "organizations", "list")

	s.expect(0, "ann is not in team default/deployers any more.", "teams", "remove", "default/deployers", "ann")
	s.expect(1, "say --yes", "teams", "delete", "default/deployers")
	s.expect(0, "Deleted team default/deployers", "teams", "delete", "default/deployers", "--yes")
	s.expect(1, "cannot be deleted", "teams", "delete", "default/owners", "--yes")
}
