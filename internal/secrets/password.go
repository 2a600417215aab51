package secrets

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of argon2id as OWASP recommends it: about 20 ms, and memory in KiB, of one password.
const (
	passwordMemory = 19 << 10
	passwordTime   = 2
	passwordLanes  = 1
	passwordSalt   = 16
	passwordKey    = 32
)

// HashPassword returns a password's argon2id hash in the usual form ($argon2id$v=19$m=…,t=…,p=…$salt$key), which carries its
// own parameters. It takes 19 MiB for a moment: the caller bounds how many run at once.
func HashPassword(password string) string {
	salt := make([]byte, passwordSalt)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	key := argon2.IDKey([]byte(password), salt, passwordTime, passwordMemory, passwordLanes, passwordKey)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, passwordMemory, passwordTime, passwordLanes, b64(salt), b64(key))
}

// CheckPassword reports whether the hash is of the password. A hash that is empty or of another kind is of none, and takes as
// long to find out.
func CheckPassword(hash, password string) bool {
	memory, rounds, lanes := uint32(passwordMemory), uint32(passwordTime), uint8(passwordLanes)
	parts := strings.Split(hash, "$")
	var salt, want []byte
	if len(parts) == 6 && parts[1] == "argon2id" && parts[2] == fmt.Sprintf("v=%d", argon2.Version) {
		var m, t uint32
		var p uint8
		if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err == nil && n == 3 && t > 0 && p > 0 {
			memory, rounds, lanes = m, t, p
			salt, _ = base64.RawStdEncoding.DecodeString(parts[4])
			want, _ = base64.RawStdEncoding.DecodeString(parts[5])
		}
	}
	got := argon2.IDKey([]byte(password), salt, rounds, memory, lanes, passwordKey)
	return subtle.ConstantTimeCompare(got, want) == 1
}
