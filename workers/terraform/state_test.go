package terraform_test

import (
	"fmt"
	"strings"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/workers/terraform"
)

// TestTheHeadOfAState: read alone it says the same as the whole, wherever it is and whatever else is there.
func TestTheHeadOfAState(t *testing.T) {
	t.Parallel()
	want := wire.StateRef{Serial: 7, Lineage: "abc"}
	large := strings.Repeat(`{"name":"x"},`, 10_000) + "{}"
	for _, state := range []string{
		`{"version":4,"serial":7,"lineage":"abc","resources":[` + large + `]}`,
		`{"resources":[` + large + `],"lineage":"abc","outputs":{"serial":{"value":1}},"serial":7}`,
		`{"serial":7,"lineage":"abc"}`,
	} {
		if got, err := terraform.StateHead([]byte(state)); err != nil || got != want {
			t.Errorf("%.80s: got %+v and error %v, want %+v", state, got, err, want)
		}
	}
	for _, state := range []string{``, `[]`, `{"serial":"seven","lineage":"abc"}`, `{"serial":7,`} {
		if got, err := terraform.StateHead([]byte(state)); err == nil {
			t.Errorf("%q: got %+v, want an error", state, got)
		}
	}
	if got, err := terraform.StateHead([]byte(`{"version":4}`)); err != nil || got != (wire.StateRef{}) {
		t.Errorf("a state without a head: got %+v and error %v, want nothing", got, err)
	}
	if _, err := terraform.StateHead(fmt.Appendf(nil, `{"serial":7,"lineage":%q,"resources":[`, "abc")); err != nil {
		t.Errorf("what follows the head was read: %v", err)
	}
}
