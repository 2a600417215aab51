package statefile_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/statefile"
)

const aState = `{
  "version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "lin", "outputs": {"one": {"value": [1, {"x": null}]}},
  "resources": [{"name": "a", "instances": [{"attributes": {"deep": [[[[1]]]], "serial": 9}}]}, {"name": "b", "instances": []}],
  "check_results": null
}
`

func TestReadHead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, state string
		want        statefile.Head
		noState     bool
		bad         bool
	}{
		{name: "whole", state: aState, want: statefile.Head{Version: 4, TerraformVersion: "1.11.4", Serial: 7, Lineage: "lin"}},
		{name: "serial 0, at the end", state: `{"resources":[],"version":4,"lineage":"l","serial":0}`, want: statefile.Head{Version: 4, Lineage: "l"}},
		{name: "no serial", state: `{"version":4,"lineage":"l"}`, bad: true, noState: true},
		{name: "a negative serial", state: `{"version":4,"lineage":"l","serial":-1}`, bad: true, noState: true},
		{name: "no lineage", state: `{"version":4,"serial":1}`, bad: true, noState: true},
		{name: "no version", state: `{"lineage":"l","serial":1}`, bad: true, noState: true},
		{name: "a serial that is no number", state: `{"version":4,"lineage":"l","serial":"1"}`, bad: true},
		{name: "a list", state: `[]`, bad: true},
		{name: "nothing", state: ``, bad: true},
		{name: "cut off between members", state: `{"version":4,"lineage":"l","serial":1`, bad: true},
		{name: "cut off in the resources", state: aState[:strings.Index(aState, "deep")], bad: true},
		{name: "broken in the resources", state: strings.Replace(aState, "[[[[1]]]]", "[[[[1]]]}", 1), bad: true},
		{name: "something behind", state: aState + "{}", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := statefile.ReadHead(iotest.OneByteReader(strings.NewReader(tt.state)))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("head (-want +got):\n%s", diff)
			}
			if (err != nil) != tt.bad || errors.Is(err, statefile.ErrNoState) != tt.noState {
				t.Errorf("got error %v, want one: %t, ErrNoState: %t", err, tt.bad, tt.noState)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := statefile.ReadHead(io.MultiReader(strings.NewReader(aState[:99]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got error %v, want the reader's", err)
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	for state, want := range map[string][]string{
		aState: {"a", "b"}, `{"resources":null}`: nil, `{}`: nil, `{"resources":[]}`: nil,
	} {
		var got []string
		err := statefile.Resources(strings.NewReader(state), func(dec *json.Decoder) error {
			var r struct{ Name string }
			err := dec.Decode(&r)
			got = append(got, r.Name)
			return err
		})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: got error %v, names (-want +got):\n%s", state, err, diff)
		}
	}
	for _, state := range []string{`{"resources":{}}`, `{"resources":[{}`, `{"resources":[}`} {
		if err := statefile.Resources(strings.NewReader(state), func(dec *json.Decoder) error { return dec.Decode(new(any)) }); err == nil {
			t.Errorf("%s: got no error, want one", state)
		}
	}
}

// TestOutputs: what is behind the outputs is not read.
func TestOutputs(t *testing.T) {
	t.Parallel()
	state := io.MultiReader(strings.NewReader(aState[:strings.Index(aState, `"resources"`)]), iotest.ErrReader(errors.New("read on")))
	var got map[string]struct{ Value any }
	if err := statefile.Outputs(state, &got); err != nil || len(got) != 1 {
		t.Errorf("got %v and error %v, want the one output", got, err)
	}
	got = nil
	if err := statefile.Outputs(strings.NewReader(`{"serial":1}`), &got); err != nil || got != nil {
		t.Errorf("no outputs: got %v and error %v, want none", got, err)
	}
}

// TestLargeStatesAreNotHeld: a state is read in much less memory than it has.
func TestLargeStatesAreNotHeld(t *testing.T) {
	t.Parallel()
	const instances = 20_000
	instance := `{"attributes":{"id":"` + strings.Repeat("x", 1000) + `"}}`
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			parts := []io.Reader{strings.NewReader(`{"version":4,"serial":1,"lineage":"l","resources":[{"instances":[` + instance)}
			for range instances {
				parts = append(parts, strings.NewReader(","), strings.NewReader(instance))
			}
			parts = append(parts, strings.NewReader(`]}]}`))
			if _, err := statefile.ReadHead(io.MultiReader(parts...)); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if size := int64(instances * len(instance)); allocated > size/2 {
		t.Errorf("got %d bytes allocated for a state of %d, want less than half", allocated, size)
	}
}
