package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"gantry.example/internal/mask"
)

// maxShownPlan is how long a JSON plan is at most, in bytes, that is shown by resource. It is read through for each view.
const maxShownPlan = 32 << 20

// read reads terraform's JSON plan change by change: no more than one of them, and what is shown, is in memory.
func (v *planView) read(from io.Reader, secrets *mask.Secrets, most int) error {
	d := json.NewDecoder(from)
	d.UseNumber() // as they were written
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(err, fmt.Errorf("got %v, want an object", t))
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		switch key {
		case "resource_changes":
			err = eachChange(d, func(c resourceChange) { v.Resources = v.show(v.Resources, c, secrets, most, &v.More) })
		case "resource_drift":
			err = eachChange(d, func(c resourceChange) { v.Drift = v.show(v.Drift, c, secrets, most, nil) })
		case "output_changes":
			var outputs map[string]valueChange
			err = d.Decode(&outputs)
			for _, name := range slices.Sorted(maps.Keys(outputs)) {
				v.Outputs = v.show(v.Outputs, resourceChange{Address: name, Change: outputs[name]}, secrets, most, nil)
			}
		default:
			err = skip(d)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
	}
	if v.More > 0 && most == shownResources {
		v.All = v.Address + "?all"
	}
	return nil
}

// show adds the change to those that are shown, if it is one, or counts it. Where there is no room for all, what is destroyed
// or replaced has it: nobody should approve that unseen.
func (v *planView) show(shown []difference, c resourceChange, secrets *mask.Secrets, most int, more *int) []difference {
	d, ok := c.difference(secrets)
	switch {
	case !ok:
	case len(shown) < most:
		return append(shown, d)
	case more != nil:
		*more++
		last := len(shown) - 1
		for last >= 0 && shown[last].Tone == "bad" {
			last--
		}
		if d.Tone == "bad" && last >= 0 {
			return append(slices.Delete(shown, last, last+1), d)
		}
	}
	return shown
}

// eachChange reads a list of changes, or null.
func eachChange(d *json.Decoder, f func(resourceChange)) error {
	switch t, err := d.Token(); {
	case err != nil || t == nil:
		return err
	case t != json.Delim('['):
		return fmt.Errorf("got %v, want a list", t)
	}
	for d.More() {
		var c resourceChange
		if err := d.Decode(&c); err != nil {
			return err
		}
		f(c)
	}
	_, err := d.Token()
	return err
}

// skip reads past a value.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
