package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"gantry.example/workers/terraform"
)

// Users says whom terraform runs as. The zero value means the user of this process; everything else takes root.
//
// With a range, every attempt gets a user id that nobody else has, no other attempt and no folder of one, so that runs cannot
// reach each other. An apply in the folder that its plan prepared runs as the plan did. Nothing of the system need know
// these ids.
type Users struct {
	First, Last int // user ids, inclusive; the same twice is one user for all runs
	GID         int // group of all of them; 0 means that each has one of its own, of the same number
}

// user is the nth of the range.
func (u Users) user(id int) *terraform.User {
	gid := u.GID
	if gid == 0 {
		gid = id
	}
	return &terraform.User{UID: id, GID: gid}
}

// Check reports whether this process can use the first and the last of the range.
func (u Users) Check() error {
	for _, id := range []int{u.First, u.Last} {
		if err := u.user(id).Do(func() error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// CanRead reports whether the users can list a folder; "" is none.
func (u Users) CanRead(dir string) error {
	if dir == "" {
		return nil
	}
	return u.user(u.First).Do(func() error {
		_, err := os.ReadDir(dir)
		return err
	})
}

// CanPass reports whether the users can get to a folder and to what they know the name of in it.
func (u Users) CanPass(dir string) error {
	return u.user(u.First).Do(func() error {
		_, err := os.Stat(dir + "/.") // which filepath.Join would make the folder itself
		return err
	})
}

// userIDs gives out the ids of a range in turn. Not for concurrent use.
type userIDs struct {
	users Users
	taken func() (map[int]bool, error) // lists the ids that may still be in use
	next  int
	skip  map[int]bool
}

// take returns a user for a new attempt. What was given out since the turn began is different anyway; what was in use before it
// began is passed over.
func (i *userIDs) take() (*terraform.User, error) {
	u := i.users
	if u == (Users{}) {
		return nil, nil
	}
	if u.First == u.Last {
		return u.user(u.First), nil
	}
	for turns := 0; turns < 3; {
		if i.skip == nil || i.next > u.Last {
			skip, err := i.taken()
			if err != nil {
				return nil, fmt.Errorf("find a free user id: %w", err)
			}
			i.next, i.skip = u.First, skip
			if turns == 0 { // a restarted worker does not begin with the ids of before, which may own files somewhere
				i.next += rand.N(u.Last - u.First)
			}
			turns++
		}
		for ; i.next <= u.Last; i.next++ {
			if !i.skip[i.next] {
				i.next++
				return u.user(i.next - 1), nil
			}
		}
	}
	return nil, fmt.Errorf("all user ids from %d to %d are in use: give a larger range", u.First, u.Last)
}

// usedIDs lists the ids of known attempts, of folders of attempts and of plans, and of processes.
func (e *Executor) usedIDs() (map[int]bool, error) {
	used := map[int]bool{}
	e.mu.Lock()
	for _, a := range e.attempts {
		if a.user != nil {
			used[a.user.UID] = true
		}
	}
	e.mu.Unlock()
	for _, pattern := range []string{filepath.Join(e.folder.attempts(), "*", "home"), filepath.Join(e.folder.runs(), "*", "config"), "/proc/[0-9]*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				continue // just removed
			}
			if err != nil {
				return nil, err
			}
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				used[int(stat.Uid)] = true
			}
		}
	}
	return used, nil
}
