// Package statefile reads Terraform's states as they come, so that a large one is never in memory as a whole.
package statefile

import (
	"encoding/json"
	"errors"
	"io"
)

// Head is what every state says about itself.
type Head struct {
	Version          int
	TerraformVersion string
	Serial           int64
	Lineage          string
}

// ErrNoState is returned for what is JSON, but no state.
var ErrNoState = errors.New("it needs version, serial and lineage")

// ReadHead reads a state to its end. Errors: ErrNoState, and those of JSON and of the reader.
func ReadHead(state io.Reader) (Head, error) {
	var h Head
	var serial *int64 // 0 is a serial, none is not
	dec := json.NewDecoder(state)
	err := members(dec, func(name string) error {
		switch name {
		case "version":
			return dec.Decode(&h.Version)
		case "terraform_version":
			return dec.Decode(&h.TerraformVersion)
		case "serial":
			return dec.Decode(&serial)
		case "lineage":
			return dec.Decode(&h.Lineage)
		default:
			return skip(dec, nested)
		}
	})
	if err == nil {
		err = ended(dec)
	}
	if err == nil && (h.Lineage == "" || h.Version == 0 || serial == nil || *serial < 0) {
		err = ErrNoState
	}
	if err != nil {
		return Head{}, err
	}
	h.Serial = *serial
	return h, nil
}

// Resources calls use with a decoder that stands before each of the state's resources in turn: it decodes that one.
func Resources(state io.Reader, use func(*json.Decoder) error) error {
	dec := json.NewDecoder(state)
	return members(dec, func(name string) error {
		if name != "resources" {
			return skip(dec, nested)
		}
		open, err := dec.Token()
		if err != nil || open == nil { // null
			return err
		}
		if open != json.Delim('[') {
			return errors.New("resources is no list")
		}
		for dec.More() {
			if err := use(dec); err != nil {
				return err
			}
		}
		_, err = dec.Token()
		return err
	})
}

// errFound ends reading.
var errFound = errors.New("found")

// Outputs decodes the outputs of a state, and reads no further than they are: Terraform writes them before its resources.
func Outputs(state io.Reader, into any) error {
	dec := json.NewDecoder(state)
	err := members(dec, func(name string) error {
		if name != "outputs" {
			return skip(dec, nested)
		}
		if err := dec.Decode(into); err != nil {
			return err
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}

// members calls use with the name of each member of an object. use reads its value.
func members(dec *json.Decoder, use func(name string) error) error {
	open, err := dec.Token()
	if err != nil {
		return whole(err)
	}
	if open != json.Delim('{') {
		return errors.New("it is no object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err == nil {
			err = use(name.(string)) //nolint:forcetypeassert // the decoder takes nothing else there
		}
		if err != nil {
			return whole(err)
		}
	}
	_, err = dec.Token()
	return whole(err)
}

// nested is how deep the instances of a resource are in a state's resources: list, resource, instances, instance.
const nested = 4

// passed is a value that nobody wants.
type passed struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*passed) UnmarshalJSON([]byte) error { return nil }

// skip reads over a value. What is nested less deep is never in memory as a whole.
func skip(dec *json.Decoder, depth int) error {
	if depth == 0 {
		return dec.Decode(new(passed))
	}
	open, err := dec.Token()
	delim, ok := open.(json.Delim)
	if err != nil || !ok {
		return err
	}
	for dec.More() {
		if delim == '{' {
			if _, err := dec.Token(); err != nil {
				return err
			}
		}
		if err := skip(dec, depth-1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// ended finds more than one value.
func ended(dec *json.Decoder) error {
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("there is more behind its end"), err)
	}
	return nil
}

// whole says of the end of a state before its end that it is unexpected.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
