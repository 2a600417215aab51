package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"gantry.example/internal/mask"
)

// attribute is one value of a resource, before and after. What may not be shown is not in it.
type attribute struct {
	Path     string
	Old, New string
	OldWord  string // instead of a value: "sensitive", "known after apply"
	NewWord  string
	Forces   bool // a replacement of the resource
}

// difference is a resource or output that changes.
type difference struct {
	Address    string
	Sign       string // as terraform's plan has it: +, ~, −, -/+, ↓
	Tone       string
	What       string // in words
	Why        string
	Attributes []attribute
	More       int // attributes that are not shown
}

// Bounds of what is shown of one resource.
const (
	shownAttributes = 120
	shownValue      = 600 // bytes
)

// side is a value and what of it is hidden or unknown: each in the same shape, true standing for all below it.
type side struct{ value, sensitive, unknown any }

// leaf is a value without parts. hidden is one that may not be shown, to be compared only.
type leaf struct {
	text, word, hidden string
	spread             bool // its word is said of each part that there was
}

// leaves takes a value apart, by path.
func (s side) leaves(secrets *mask.Secrets) map[string]leaf {
	out := map[string]leaf{}
	s.walk(out, "", secrets)
	return out
}

func (s side) walk(out map[string]leaf, at string, secrets *mask.Secrets) {
	switch {
	case s.sensitive == true:
		if s.value != nil || s.unknown != nil && s.unknown != false {
			out[at] = leaf{word: "sensitive", hidden: text(s.value)}
		}
		return
	case s.unknown == true:
		out[at] = leaf{word: "known after apply"}
		return
	}
	switch v := s.value.(type) {
	case map[string]any:
		s.walkMap(out, at, v, secrets)
	case []any:
		for i := range v {
			part(s, i).walk(out, fmt.Sprintf("%s[%d]", at, i), secrets)
		}
		if unknown, ok := s.unknown.([]any); ok && len(unknown) > len(v) {
			out[fmt.Sprintf("%s[%d…]", at, len(v))] = leaf{word: "known after apply"}
		}
	case nil:
		if _, ok := s.unknown.(map[string]any); ok {
			s.walkMap(out, at, map[string]any{}, secrets)
		}
	default:
		all := text(v)
		out[at] = leaf{text: cut(secrets.Text(all)), hidden: all}
	}
}

func (s side) walkMap(out map[string]leaf, at string, v map[string]any, secrets *mask.Secrets) {
	keys := maps.Clone(v)
	if unknown, ok := s.unknown.(map[string]any); ok {
		for key := range unknown {
			if _, known := keys[key]; !known {
				keys[key] = nil
			}
		}
	}
	for key := range keys {
		path := key
		if at != "" {
			path = at + "." + key
		}
		side{v[key], inner(s.sensitive, key), inner(s.unknown, key)}.walk(out, path, secrets)
	}
}

// part is an element of a list.
func part(s side, i int) side {
	list := s.value.([]any)
	return side{list[i], element(s.sensitive, i), element(s.unknown, i)}
}

func inner(shape any, key string) any {
	m, ok := shape.(map[string]any)
	if !ok {
		return shape == true
	}
	return m[key]
}

func element(shape any, i int) any {
	list, ok := shape.([]any)
	if !ok || i >= len(list) {
		return shape == true
	}
	return list[i]
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func cut(s string) string {
	if len(s) <= shownValue {
		return s
	}
	end := shownValue
	for end > 0 && s[end]&0xC0 == 0x80 { // not within a character
		end--
	}
	return s[:end] + fmt.Sprintf("… (%d bytes)", len(s))
}

// compare lists what differs between the two, by path, and how much more there is than is shown. That a sensitive value
// differs is said, the value is not.
func compare(before, after side, secrets *mask.Secrets) ([]attribute, int) {
	old, now := before.leaves(secrets), after.leaves(secrets)
	spread(old, now)
	paths := maps.Clone(old)
	maps.Copy(paths, now)
	var out []attribute
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		a, b := old[path], now[path]
		if a == b {
			continue
		}
		out = append(out, attribute{Path: path, Old: a.text, New: b.text, OldWord: a.word, NewWord: b.word})
	}
	if len(out) > shownAttributes {
		return out[:shownAttributes], len(out) - shownAttributes
	}
	return out, 0
}

// spread gives each part of a value that will be another one as a whole its own word, such as "known after apply": it would
// look as if it were taken away.
func spread(old, now map[string]leaf) {
	for path := range old {
		if _, same := now[path]; same {
			continue
		}
		for end := len(path) - 1; end > 0; end-- {
			whole, ok := now[path[:end]]
			if !ok || whole.word == "" || !below(path, path[:end]) {
				continue
			}
			now[path] = leaf{word: whole.word}
			whole.spread = true
			now[path[:end]] = whole
			break
		}
	}
	maps.DeleteFunc(now, func(_ string, l leaf) bool { return l.spread })
}

// equal compares two values that were read from JSON.
func equal(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}
