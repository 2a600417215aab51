package messages

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
)

// MaxLabelLength is the longest label.
const MaxLabelLength = 63

const labelAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789._/=-"

// AnyLabelSet is the token of the empty label set: any agent of the pool may take the task.
const AnyLabelSet = "any"

// CanonicalLabels returns the labels sorted and without duplicates, or an error naming the first label that is empty, too
// long or has a character outside [a-z0-9._/=-]. Labels are opaque: "a=b" has no inner meaning.
func CanonicalLabels(labels []string) ([]string, error) {
	for _, l := range labels {
		if l == "" || len(l) > MaxLabelLength || strings.Trim(l, labelAlphabet) != "" {
			return nil, fmt.Errorf("label %q: a label is 1 to %d characters of [a-z0-9._/=-]", l, MaxLabelLength)
		}
	}
	out := slices.Clone(labels)
	slices.Sort(out)
	return slices.Compact(out), nil
}

// LabelSetToken is the subject token and consumer-name suffix of a label set. It is the same for every order of the same
// labels; 16 characters of SHA-256 keep two different sets apart.
func LabelSetToken(labels []string) string {
	if len(labels) == 0 {
		return AnyLabelSet
	}
	sorted := slices.Clone(labels)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:16]
}

// LabelsSatisfied reports whether an agent that offers offered may take a task that requires required.
func LabelsSatisfied(required, offered []string) bool {
	for _, r := range required {
		if !slices.Contains(offered, r) {
			return false
		}
	}
	return true
}
