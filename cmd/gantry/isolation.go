package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gantry.example/internal/pgserver"
	"gantry.example/workers/process"
	"gantry.example/workers/station"
)

// chooseRunUsers decides whom terraform runs as. Nobody is no error: then it has the rights of this process.
func (c *config) chooseRunUsers() (process.Users, error) {
	users, err := station.ChooseUsers(c.RunAs)
	if err != nil || c.RunAs == station.RunAsAuto {
		return users, err
	}
	// Whoever reaches the socket of the private Postgres is let in.
	if postgres, err := pgserver.Unprivileged(); err == nil && c.DatabaseURL == "" && users.First <= postgres.UID && postgres.UID <= users.Last {
		return users, fmt.Errorf("--run-as %s: PostgreSQL runs as user %s (%d), which terraform must not be: choose another account or a range without it",
			c.RunAs, postgres.Name, postgres.UID)
	}
	return users, nil
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
