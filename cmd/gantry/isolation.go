package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"gantry.example/internal/pgserver"
	"gantry.example/workers/process"
)

// Values of --run-as that are no users.
const (
	runAsAuto = "auto"
	runAsSelf = "self"
)

// runUsers are what --run-as auto tries, in this order: ids that neither distributions, systemd, containers nor directory
// services give to anybody, and, for a container that has few ids, some of the lower ones that nobody uses.
func runUsers() []process.Users {
	return []process.Users{{First: 2_100_000_000, Last: 2_100_065_535}, {First: 60_706, Last: 61_183}}
}

// parseRunAs reads --run-as: auto, self, FIRST-LAST, or an account by name or id.
func parseRunAs(value string) (users process.Users, err error) {
	if value == runAsAuto || value == runAsSelf {
		return users, nil
	}
	first, last, isRange := strings.Cut(value, "-")
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(last)
	const highest = 1<<32 - 2
	if isRange && errA == nil && errB == nil {
		if a < 1 || b <= a || b > highest {
			return users, fmt.Errorf("--run-as %s: want FIRST-LAST with 0 < FIRST < LAST", value)
		}
		return process.Users{First: a, Last: b}, nil
	}
	account, err := user.Lookup(value)
	if err != nil {
		account, err = user.LookupId(value)
	}
	if err != nil {
		return users, fmt.Errorf("--run-as %s: is neither %s, %s, a range FIRST-LAST of user ids, nor an account of this machine", value, runAsAuto, runAsSelf)
	}
	uid, errA := strconv.Atoi(account.Uid)
	gid, errB := strconv.Atoi(account.Gid)
	if err := errors.Join(errA, errB); err != nil || uid == 0 {
		return users, errors.Join(fmt.Errorf("--run-as %s: is no unprivileged account", value), err)
	}
	return process.Users{First: uid, Last: uid, GID: gid}, nil
}

// chooseRunUsers decides whom terraform runs as. Nobody is no error: then it has the rights of this process.
func (c *config) chooseRunUsers() (process.Users, error) {
	users, err := parseRunAs(c.RunAs)
	isRoot := os.Geteuid() == 0 && runtime.GOOS == "linux"
	switch {
	case err != nil, c.RunAs == runAsSelf, c.RunAs == runAsAuto && !isRoot:
		return users, err
	case !isRoot:
		return users, fmt.Errorf("--run-as %s: only root on Linux can run terraform as another user", c.RunAs)
	case c.RunAs == runAsAuto:
		var problem error
		for _, users := range runUsers() {
			if problem = users.Check(); problem == nil {
				return users, nil
			}
		}
		return users, fmt.Errorf("--run-as auto: this process is root and cannot run terraform as anybody else (%w): "+
			"give it the capabilities CAP_SETUID, CAP_SETGID and CAP_CHOWN, start it as an unprivileged user, or, for trusted code only, give --run-as self", problem)
	}
	if err := users.Check(); err != nil {
		return users, fmt.Errorf("--run-as %s: %w", c.RunAs, err)
	}
	// Whoever reaches the socket of the private Postgres is let in.
	if postgres, err := pgserver.Unprivileged(); err == nil && c.DatabaseURL == "" && users.First <= postgres.UID && postgres.UID <= users.Last {
		return users, fmt.Errorf("--run-as %s: PostgreSQL runs as user %s (%d), which terraform must not be: choose another account or a range without it",
			c.RunAs, postgres.Name, postgres.UID)
	}
	return users, nil
}

// tellRights warns of what a configuration may do here.
func (s *server) tellRights() {
	switch u := s.users; {
	case u.First != u.Last:
		s.log.Info("terraform runs under user ids of its own, one for each run", "first", u.First, "last", u.Last)
	case u.First != 0:
		s.log.Warn("all runs have the same user: they can reach each other's files, but not the server's", "uid", u.First)
	case os.Geteuid() == 0:
		s.log.Warn("running as root: terraform runs as root too, so run trusted code only")
	default:
		s.log.Warn("terraform runs as this user, beside the server's own data: run trusted code only")
	}
}

// placeRuns returns the folder below which runs have their folders: where the user that terraform runs as can get to, which
// may be outside the data folder.
func (s *server) placeRuns() (string, error) {
	u := s.users
	if u == (process.Users{}) {
		return s.cfg.DataDir, nil
	}
	some := &pgserver.User{Name: strconv.Itoa(u.First), UID: u.First, GID: cmp.Or(u.GID, u.First)}
	place, err := pgserver.Place(s.cfg.DataDir, pgserver.Elsewhere, some)
	if err != nil {
		return "", fmt.Errorf("find a place for the folders of runs: %w", err)
	}
	if err := u.CanRead(s.cfg.Engines.ProviderFilesystem); err != nil {
		return "", fmt.Errorf("--provider-filesystem-mirror: the user that terraform runs as (uid %d) must be able to read it: %w", u.First, err)
	}
	cache := filepath.Join(place, "cache") // engines are executed there
	return place, errors.Join(os.MkdirAll(cache, 0o711), os.Chmod(cache, 0o711))
}
