// Package mask hides secrets in what a program prints.
package mask

import (
	"bytes"
	"io"
)

// Shown is what is shown instead of a secret, whatever its length.
const Shown = "***"

// Secrets are the texts to hide. They are not changed any more, so any number of streams may use them at once.
type Secrets struct {
	begins [256][][]byte // by first byte, longest first
	any    bool
}

// New takes the texts in any order. Empty ones are left out.
func New(texts []string) *Secrets {
	s := &Secrets{}
	for _, t := range texts {
		if t == "" {
			continue
		}
		at := 0
		list := s.begins[t[0]]
		for at < len(list) && len(list[at]) > len(t) {
			at++
		}
		s.begins[t[0]] = append(list[:at:at], append([][]byte{[]byte(t)}, list[at:]...)...)
		s.any = true
	}
	return s
}

// Any reports whether there is something to hide.
func (s *Secrets) Any() bool { return s.any }

// longest is the length of the longest secret at the beginning of b, and whether more bytes could make it longer.
func (s *Secrets) longest(b []byte) (n int, open bool) {
	for _, t := range s.begins[b[0]] {
		if len(t) > len(b) {
			open = open || bytes.HasPrefix(t, b)
		} else if bytes.HasPrefix(b, t) {
			return len(t), open
		}
	}
	return 0, open
}

// Text is the text without secrets.
func (s *Secrets) Text(text string) string {
	m := s.Stream()
	return string(m.Add([]byte(text))) + string(m.Rest())
}

// Stream hides the secrets in a stream.
func (s *Secrets) Stream() *Stream { return &Stream{secrets: s} }

// Stream hides secrets in a stream. Every byte that belongs to a secret is hidden, also where secrets overlap, and what is
// hidden in one piece is Shown once. What comes out does not depend on how the stream is cut. Not for concurrent use.
type Stream struct {
	secrets *Secrets
	held    []byte // not decided yet: a secret may begin here
	cover   int    // so many bytes of held belong to a secret that began before
	hiding  bool   // the last byte was hidden
}

// Add takes the next bytes and returns those that are decided. Without secrets they are the bytes given.
func (m *Stream) Add(p []byte) []byte {
	if !m.secrets.any {
		return p
	}
	m.held = append(m.held, p...)
	return m.decide(false)
}

// Rest returns what is left when the stream has ended.
func (m *Stream) Rest() []byte { return m.decide(true) }

func (m *Stream) decide(ended bool) []byte {
	var out []byte
	i := 0
	for ; i < len(m.held); i++ {
		n, open := m.secrets.longest(m.held[i:])
		if open && !ended {
			break
		}
		m.cover = max(m.cover, n)
		switch {
		case m.cover == 0:
			out = append(out, m.held[i])
		case !m.hiding:
			out = append(out, Shown...)
		}
		m.hiding = m.cover > 0
		m.cover = max(m.cover-1, 0)
	}
	m.held = append(m.held[:0], m.held[i:]...)
	return out
}

// Copy is io.Copy with the secrets hidden.
func (s *Secrets) Copy(to io.Writer, from io.Reader) (int64, error) {
	if !s.any {
		return io.Copy(to, from)
	}
	m := s.Stream()
	var size int64
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		out := m.Add(buf[:n])
		if err == io.EOF {
			out = append(out, m.Rest()...)
		}
		written, writeErr := to.Write(out)
		size += int64(written)
		switch {
		case writeErr != nil:
			return size, writeErr
		case err == io.EOF:
			return size, nil
		case err != nil:
			return size, err
		}
	}
}
