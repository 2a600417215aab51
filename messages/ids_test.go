package messages_test

import (
	"strings"
	"testing"

	"gantry.example/messages"
)

const idAlphabet = "123456789abcdefghijkmnopqrstuvwxyz"

func TestNewIDHasPrefixAndAlphabet(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := messages.NewID("run-")
		rest, ok := strings.CutPrefix(id, "run-")
		if !ok || len(rest) != 16 || strings.Trim(rest, idAlphabet) != "" {
			t.Fatalf("got id %q, want run- and 16 characters of %s", id, idAlphabet)
		}
		if !messages.ValidID(id, "run-") {
			t.Fatalf("ValidID(%q): got false, want true for an id of NewID", id)
		}
		if seen[id] {
			t.Fatalf("got id %q twice", id)
		}
		seen[id] = true
	}
}

// A modulo bias would give the first 18 characters of the alphabet 8/7 of the share of the others: 14 % more, where chance
// moves a count of this many draws by less than 5 % (over six standard deviations).
func TestNewIDDrawsEveryCharacterEquallyOften(t *testing.T) {
	t.Parallel()
	const ids = 40_000
	counts := map[rune]int{}
	for range ids {
		for _, c := range messages.NewID("") {
			counts[c]++
		}
	}
	want := ids * 16 / len(idAlphabet)
	for _, c := range idAlphabet {
		if got := counts[c]; got < want*95/100 || got > want*105/100 {
			t.Errorf("character %q: got %d draws, want %d ± 5 %%", c, got, want)
		}
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	const good = "123456789abcdefg"
	for _, c := range []struct {
		name, id, prefix string
		want             bool
	}{
		{"good", "run-" + good, "run-", true},
		{"other prefix", "ws-" + good, "run-", false},
		{"no prefix", good, "run-", false},
		{"empty", "", "run-", false},
		{"prefix only", "run-", "run-", false},
		{"short", "run-" + good[1:], "run-", false},
		{"long", "run-" + good + "1", "run-", false},
		{"zero", "run-0" + good[1:], "run-", false},
		{"l", "run-l" + good[1:], "run-", false},
		{"upper case", "run-A" + good[1:], "run-", false},
		{"bad character in the middle", "run-1234567.9abcdefg", "run-", false},
		{"wildcard", "run-123456789abcde.>", "run-", false},
		{"newline at the end", "run-123456789abcdef\n", "run-", false},
		{"not ASCII", "run-123456789abcdeé", "run-", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := messages.ValidID(c.id, c.prefix); got != c.want {
				t.Errorf("ValidID(%q, %q): got %t, want %t", c.id, c.prefix, got, c.want)
			}
		})
	}
}

func TestValidName(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", messages.MaxNameLength)
	for name, want := range map[string]bool{
		"default": true, "A-z_09": true, "-": true, longest: true,
		"": false, "a b": false, "a/b": false, "a.b": false, "ü": false, "a\n": false, longest + "a": false,
	} {
		if got := messages.ValidName(name); got != want {
			t.Errorf("ValidName(%q): got %t, want %t", name, got, want)
		}
	}
}
