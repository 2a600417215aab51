package mask_test

import (
	"bytes"
	"strings"
	"testing"

	"gantry.example/internal/mask"
)

func TestMask(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"whole", "geheim", "***"},
		{"within a line", `password = "geheim" # x`, `password = "***" # x`},
		{"a beginning alone", "gehei", "gehei"},
		{"the longest", "geheimnis!", "***!"},
		{"again and again", "geheimgeheim geheim", "*** ***"},
		{"overlapping", "xgeheimatlosx", "x***x"},
		{"a beginning before the whole", "gehegeheim", "gehe***"},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := mask.New([]string{"geheim", "geheimnis", "heimatlos"})
			if got := s.Text(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoSecretsCostNothing(t *testing.T) {
	t.Parallel()
	m := mask.New(nil).Stream()
	in := []byte("text")
	if got := m.Add(in); &got[0] != &in[0] || len(m.Rest()) != 0 {
		t.Errorf("got %q in another place, want what went in", got)
	}
}

// covered is what mask should do, by its definition.
func covered(secrets []string, text string) string {
	hidden := make([]bool, len(text))
	for _, s := range secrets {
		for i := range text {
			if s != "" && strings.HasPrefix(text[i:], s) {
				for j := range len(s) {
					hidden[i+j] = true
				}
			}
		}
	}
	var out strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			out.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			out.WriteString(mask.Shown)
		}
	}
	return out.String()
}

func FuzzMask(f *testing.F) {
	f.Add("geheim", "heimat", "das geheimatliche geheim", uint8(3))
	f.Add("aa", "aaab", "aaaaaab aaab", uint8(1))
	f.Add("abab", "b", "xababab", uint8(2))
	f.Fuzz(func(t *testing.T, one, two, text string, cut uint8) {
		text = strings.ToValidUTF8(text, "") // range in covered goes by runes
		one, two = strings.ToValidUTF8(one, ""), strings.ToValidUTF8(two, "")
		want := covered([]string{one, two}, text)
		s := mask.New([]string{one, two})
		if got := s.Text(text); got != want {
			t.Fatalf("at once: got %q, want %q", got, want)
		}
		m := s.Stream()
		var got bytes.Buffer
		for rest := []byte(text); len(rest) > 0; {
			n := min(int(cut%7)+1, len(rest))
			got.Write(m.Add(rest[:n]))
			rest = rest[n:]
		}
		got.Write(m.Rest())
		if got.String() != want {
			t.Fatalf("in pieces of %d: got %q, want %q", cut%7+1, got.String(), want)
		}
		var copied bytes.Buffer
		if n, err := s.Copy(&copied, strings.NewReader(text)); err != nil || n != int64(copied.Len()) || copied.String() != want {
			t.Fatalf("copied: got %q, %d, %v, want %q", copied.String(), n, err, want)
		}
	})
}
