package runner

import (
	"fmt"
	"os"

	"gantry.example/workers/terraform"
)

// statePair keeps a state in two files that are written in turn, in place: while one of them may be half a state, the other one
// is the last. Terraform waits for each save, and a new file renamed over the old one takes several times as long.
type statePair struct {
	paths [2]string
	files [2]*os.File // opened at the first write
	next  int         // whose turn it is
}

// openStatePair returns the pair at the two paths and the newest complete state in it, or nil.
func openStatePair(first, second string) (statePair, []byte) {
	p := statePair{paths: [2]string{first, second}}
	var newest []byte
	var serial int64
	for i, path := range p.paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if ref, err := terraform.StateRefOf(b); err == nil && (newest == nil || ref.Serial > serial) {
			newest, serial, p.next = b, ref.Serial, 1-i
		}
	}
	return p, newest
}

// write keeps the state. After an error the state of before is still kept.
func (p *statePair) write(state []byte) (err error) {
	f := p.files[p.next]
	if f == nil {
		if f, err = os.OpenFile(p.paths[p.next], os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return fmt.Errorf("attempt folder: %w", err)
		}
		p.files[p.next] = f
	}
	// Emptied first: a beginning alone is never taken for a state, a new beginning before an old end might be.
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(state, 0)
	}
	if err != nil {
		return fmt.Errorf("attempt folder: %w", err)
	}
	p.next = 1 - p.next
	return nil
}

func (p *statePair) close() {
	for i, f := range p.files {
		if f != nil {
			_ = f.Close() // what was written is the kernel's already
			p.files[i] = nil
		}
	}
}
