package station

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"

	"gantry.example/workers/process"
)

// Values of --run-as that are no users.
const (
	RunAsAuto = "auto"
	RunAsSelf = "self"
)

// runUsers are what --run-as auto tries, in this order: ids that neither distributions, systemd, containers nor directory
// services give to anybody, and, for a container that has few ids, some of the lower ones that nobody uses.
func runUsers() []process.Users {
	return []process.Users{{First: 2_100_000_000, Last: 2_100_065_535}, {First: 60_706, Last: 61_183}}
}

// parseRunAs reads --run-as: auto, self, FIRST-LAST, or an account by name or id.
func parseRunAs(value string) (users process.Users, err error) {
	if value == RunAsAuto || value == RunAsSelf {
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
		return users, fmt.Errorf("--run-as %s: is neither %s, %s, a range FIRST-LAST of user ids, nor an account of this machine", value, RunAsAuto, RunAsSelf)
	}
	uid, errA := strconv.Atoi(account.Uid)
	gid, errB := strconv.Atoi(account.Gid)
	if err := errors.Join(errA, errB); err != nil || uid == 0 {
		return users, errors.Join(fmt.Errorf("--run-as %s: is no unprivileged account", value), err)
	}
	return process.Users{First: uid, Last: uid, GID: gid}, nil
}

// ChooseUsers decides whom terraform runs as, as a flag --run-as says. Nobody is no error: then it has the rights of this process.
func ChooseUsers(runAs string) (process.Users, error) {
	users, err := parseRunAs(runAs)
	isRoot := os.Geteuid() == 0 && runtime.GOOS == "linux"
	switch {
	case err != nil, runAs == RunAsSelf, runAs == RunAsAuto && !isRoot:
		return users, err
	case !isRoot:
		return users, fmt.Errorf("--run-as %s: only root on Linux can run terraform as another user", runAs)
	case runAs == RunAsAuto:
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
		return users, fmt.Errorf("--run-as %s: %w", runAs, err)
	}
	return users, nil
}

// TellRights warns of what a configuration may do here.
func TellRights(u process.Users, log *slog.Logger) {
	switch {
	case u.First != u.Last:
		log.Info("terraform runs under user ids of its own, one for each run", "first", u.First, "last", u.Last)
	case u.First != 0:
		log.Warn("all runs have the same user: they can reach each other's files, but not ours", "uid", u.First)
	case os.Geteuid() == 0:
		log.Warn("running as root: terraform runs as root too, so run trusted code only")
	default:
		log.Warn("terraform runs as this user, beside our own data: run trusted code only")
	}
}
