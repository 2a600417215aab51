package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gantry.example/internal/wire"
)

// StateRefOf reads the serial and lineage out of a state file's content.
func StateRefOf(state []byte) (wire.StateRef, error) {
	var ref wire.StateRef
	if err := json.Unmarshal(state, &ref); err != nil { // Terraform's names are the same as ours
		return wire.StateRef{}, fmt.Errorf("the state is not a Terraform state: %w", err)
	}
	return ref, nil
}

// NewestState returns the newest complete state among the files that the engine writes in the root module at root and the
// files kept elsewhere. Nil means that there is none. The error is about an unreadable file, or, if nothing better was found,
// about a damaged one, whose bytes come with it: the engine rewrites its file in place, so whoever kills it may leave half a
// state.
func NewestState(root string, kept ...string) ([]byte, wire.StateRef, error) {
	// The engine leaves the first one when it could not write the others; where serials are equal it is the newer one.
	paths := append([]string{filepath.Join(root, erroredStateFile), filepath.Join(root, stateFile)}, kept...)
	var newest []byte
	var ref wire.StateRef
	var damaged error
	var remains []byte
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && len(bytes.TrimSpace(b)) == 0 {
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
