package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"gantry.example/internal/wire"
)

// StateHead reads the serial and lineage of a state that is known to be complete, without reading it all: the engine writes both
// before what takes room.
func StateHead(state []byte) (wire.StateRef, error) {
	d := json.NewDecoder(bytes.NewReader(state))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return StateRefOf(state) // says what is wrong with it
	}
	var ref wire.StateRef
	for found := 0; d.More(); {
		key, err := d.Token()
		if err != nil {
			return StateRefOf(state)
		}
		var into any = new(json.RawMessage)
		switch key {
		case "serial":
			into = &ref.Serial
			found++
		case "lineage":
			into = &ref.Lineage
			found++
		}
		if err := d.Decode(into); err != nil {
			return StateRefOf(state)
		}
		if found == 2 {
			return ref, nil
		}
	}
	return StateRefOf(state)
}

// StateRefOf reads the serial and lineage out of a state file's content.
func StateRefOf(state []byte) (wire.StateRef, error) {
	var ref wire.StateRef
	if err := json.Unmarshal(state, &ref); err != nil { // Terraform's names are the same as ours
		return wire.StateRef{}, fmt.Errorf("the state is not a Terraform state: %w", err)
	}
	return ref, nil
}

// maxStateFile bounds what is read of a state file, far above any real one.
const maxStateFile = 1 << 30

// NewestState returns the newest complete state among the files that the engine writes in the root module at root and the
// files kept elsewhere. Nil means that there is none. The error is about an unreadable file, or, if nothing better was found,
// about a damaged one, whose bytes come with it: the engine rewrites its file in place, so whoever kills it may leave half a
// state. The engine ran as user, and what is in root is read with no other rights.
func NewestState(user *User, root string, kept ...string) ([]byte, wire.StateRef, error) {
	// The engine leaves the first one when it could not write the others; where serials are equal it is the newer one.
	own := []string{filepath.Join(root, erroredStateFile), filepath.Join(root, stateFile)}
	var newest []byte
	var ref wire.StateRef
	var damaged error
	var remains []byte
	for i, path := range slices.Concat(own, kept) {
		reader := user
		if i >= len(own) {
			reader = nil
		}
		b, err := readState(reader, path)
		if err == nil && len(bytes.TrimSpace(b)) == 0 {
			continue
		}
		if err != nil {
			return nil, wire.StateRef{}, err
		}
		r, err := StateRefOf(b)
		if err != nil {
			damaged, remains = fmt.Errorf("%s: %w", path, err), b
			continue
		}
		if newest == nil || r.Serial > ref.Serial {
			newest, ref = b, r
		}
	}
	if newest != nil {
		return newest, ref, nil
	}
	return remains, wire.StateRef{}, damaged
}

// readState reads a state file with the rights of user; nothing if there is none. Something else of that name, such as a pipe or a
// device, is none: opening it does not wait.
func readState(user *User, path string) (content []byte, err error) {
	err = user.Do(func() error {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if info.Size() > maxStateFile {
			return fmt.Errorf("%s has %d bytes, which is no Terraform state: at most %d are read", path, info.Size(), maxStateFile)
		}
		content, err = io.ReadAll(io.LimitReader(f, maxStateFile))
		return err
	})
	return content, err
}
