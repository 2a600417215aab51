package secrets_test

import (
	"strings"
	"testing"

	"gantry.example/internal/secrets"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery"
	hash := secrets.HashPassword(password)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(hash, password) || hash == secrets.HashPassword(password) {
		t.Errorf("got %q, want an argon2id hash with a salt of its own", hash)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{hash, password, true}, {hash, password + " ", false}, {hash, "", false}, {"", "", false}, {"", password, false},
		{"$argon2id$v=19$m=19456,t=2,p=1$$", "", false}, {"$2a$10$x", password, false},
		{strings.Replace(hash, "v=19", "v=16", 1), password, false}, {strings.Replace(hash, "t=2", "t=0", 1), password, false},
	} {
		if got := secrets.CheckPassword(c.hash, c.password); got != c.want {
			t.Errorf("password %q against %q: got %v, want %v", c.password, c.hash, got, c.want)
		}
	}
}
