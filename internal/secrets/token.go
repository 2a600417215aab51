package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"strings"
)

// tokenBytes is the entropy of a token; tokenDigits is how many base-62 digits the largest one needs.
const (
	tokenBytes  = 32
	tokenDigits = 43
)

// NewToken returns a fresh bearer token: the prefix (for example "gantry-", by which people and secret scanners
// recognize it) and 256 random bits as 43 letters and digits.
func NewToken(prefix string) string {
	var raw [tokenBytes]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	digits := new(big.Int).SetBytes(raw[:]).Text(62)
	return prefix + strings.Repeat("0", tokenDigits-len(digits)) + digits
}

// HashToken returns what is stored and looked up in place of a token. It is fit for tokens of NewToken only,
// not for passwords.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
