package messages_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"gantry.example/messages"
)

func TestCanonicalLabels(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", messages.MaxLabelLength)
	for _, c := range []struct {
		name     string
		in, want []string
		bad      string // the label the error must name
	}{
		{name: "none"},
		{name: "sorted", in: []string{"b", "a", "c"}, want: []string{"a", "b", "c"}},
		{name: "without duplicates", in: []string{"b", "a", "b"}, want: []string{"a", "b"}},
		{name: "every character", in: []string{"a.b_c/d=e-9"}, want: []string{"a.b_c/d=e-9"}},
		{name: "longest", in: []string{longest}, want: []string{longest}},
		{name: "too long", in: []string{longest + "a"}, bad: longest + "a"},
		{name: "empty", in: []string{"a", ""}, bad: `""`},
		{name: "upper case", in: []string{"aws", "Prod"}, bad: "Prod"},
		{name: "space inside", in: []string{"a b"}, bad: "a b"},
		{name: "newline", in: []string{"a\nb"}, bad: `a\nb`},
		{name: "not ASCII", in: []string{"zürich"}, bad: "zürich"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(c.in)
			got, err := messages.CanonicalLabels(c.in)
			if c.bad != "" {
				if err == nil || !strings.Contains(err.Error(), c.bad) {
					t.Fatalf("CanonicalLabels(%q): got error %v, want one that names %s", c.in, err, c.bad)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("CanonicalLabels(%q): got %q, %v, want %q", c.in, got, err, c.want)
			}
			if !reflect.DeepEqual(c.in, before) {
				t.Errorf("the argument became %q, want it untouched", c.in)
			}
		})
	}
}

// The tokens are names of consumers on streams that outlive a release: they may never change.
func TestLabelSetTokenIsStable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		labels []string
		want   string
	}{
		{nil, "any"},
		{[]string{}, "any"},
		{[]string{"production"}, "vohbr32ox27n3qft"},
		{[]string{"aws", "production"}, "257rl4xyyenejehj"},
		{[]string{"production", "aws"}, "257rl4xyyenejehj"},
		{[]string{"production", "aws", "aws"}, "257rl4xyyenejehj"},
		{[]string{"zone=eu/1"}, "7j25ng7cuizp5yyk"},
		{[]string{"any"}, "22t42kttogy2cxku"}, // not the empty set
	} {
		if got := messages.LabelSetToken(c.labels); got != c.want {
			t.Errorf("LabelSetToken(%q): got %q, want %q", c.labels, got, c.want)
		}
	}
}

func TestLabelSetTokenKeepsSetsApart(t *testing.T) {
	t.Parallel()
	a, b := messages.LabelSetToken([]string{"a", "b"}), messages.LabelSetToken([]string{"ab"})
	if a == b {
		t.Errorf("got the same token %q for {a, b} and {ab}, want two", a)
	}
}

func TestLabelsSatisfied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		required, offered []string
		want              bool
	}{
		{nil, nil, true},
		{nil, []string{"aws"}, true},
		{[]string{"aws"}, nil, false},
		{[]string{"aws"}, []string{"gcp", "aws"}, true},
		{[]string{"aws", "prod"}, []string{"prod", "x", "aws"}, true},
		{[]string{"aws", "prod"}, []string{"aws"}, false},
		{[]string{"aws"}, []string{"aws2"}, false},
	} {
		if got := messages.LabelsSatisfied(c.required, c.offered); got != c.want {
			t.Errorf("LabelsSatisfied(%q, %q): got %t, want %t", c.required, c.offered, got, c.want)
		}
	}
}
