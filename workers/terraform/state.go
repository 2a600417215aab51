package terraform

import (
	"encoding/json"
	"fmt"

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
