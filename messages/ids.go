package messages

import (
	"crypto/rand"
	"strings"
)

// idAlphabet fits base58 checks, DNS-1123 labels, NATS subjects and KV keys (lower-case only, no 0 and no l).
const idAlphabet = "123456789abcdefghijkmnopqrstuvwxyz"

// idLength is the number of random characters after the prefix.
const idLength = 16

// NewID returns prefix ("run-", "ws-", …) followed by 16 random characters.
func NewID(prefix string) string {
	const limit = 256 - 256%len(idAlphabet) // reject the tail so that every character is equally likely
	out := make([]byte, 0, idLength)
	var buf [2 * idLength]byte
	for len(out) < idLength {
		_, _ = rand.Read(buf[:]) // never fails since Go 1.24: it aborts the program instead
		for _, b := range buf {
			if int(b) < limit && len(out) < idLength {
				out = append(out, idAlphabet[int(b)%len(idAlphabet)])
			}
		}
	}
	return prefix + string(out)
}

// ValidID reports whether id has the prefix followed by exactly 16 characters of the id alphabet.
func ValidID(id, prefix string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	if !ok || len(rest) != idLength {
		return false
	}
	return strings.Trim(rest, idAlphabet) == ""
}

// MaxNameLength is the longest name of an organization, workspace, pool or agent.
const MaxNameLength = 90

// ValidName reports whether s may name an organization, workspace, pool or agent: 1 to 90 of A-Z a-z 0-9 _ -.
func ValidName(s string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	return s != "" && len(s) <= MaxNameLength && strings.Trim(s, alphabet) == ""
}
