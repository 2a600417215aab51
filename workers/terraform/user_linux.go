package terraform

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Do calls f with u's rights to files and no others, so that a link that u made leads f nowhere u could not go itself. What f
// makes is u's. f must not start goroutines or processes. The error is f's, or that this process may not do it.
func (u *User) Do(f func() error) error {
	if u == nil {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		groups, err := syscall.Getgroups()
		if err == nil {
			err = u.become()
		}
		if err == nil {
			err = f()
		}
		// The thread is kept: with it would die every process that it was just starting, because terraform-exec binds the life of
		// a child to the thread that starts it until the shim has cleared that. Only one that cannot be put right ends here.
		if unbecome(groups) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// become changes who the calling thread is for the file system. The system calls are made directly, because those of package
// syscall are for all threads.
func (u *User) become() error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("act as uid %d: give up the groups of this process: %w", u.UID, errno)
	}
	// These two return the id from before and no error, so they are asked twice. The group is first: without the user's rights
	// it could not be changed any more.
	for _, set := range []struct {
		call func(int) (int, error)
		id   int
	}{{unix.SetfsgidRetGid, u.GID}, {unix.SetfsuidRetUid, u.UID}} {
		_, _ = set.call(set.id)
		if now, err := set.call(-1); err != nil || now != set.id {
			return fmt.Errorf("act as uid %d, gid %d: this process may not, or there are no such ids here (%d)", u.UID, u.GID, now)
		}
	}
	return nil
}

// unbecome makes the calling thread what the process is.
func unbecome(groups []int) error {
	uid, gid := os.Geteuid(), os.Getegid()
	_, _ = unix.SetfsuidRetUid(uid)
	_, _ = unix.SetfsgidRetGid(gid)
	nowUID, err := unix.SetfsuidRetUid(-1)
	nowGID, err2 := unix.SetfsgidRetGid(-1)
	if err != nil || err2 != nil || nowUID != uid || nowGID != gid {
		return syscall.EPERM
	}
	list := make([]uint32, len(groups)+1) // one more, so that there is a first
	for i, g := range groups {
		list[i] = uint32(g) //nolint:gosec // an id of the kernel's
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return errno
	}
	return nil
}

func ownerOf(info fs.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(stat.Uid), int(stat.Gid)
}
