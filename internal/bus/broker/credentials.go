package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nkeys"
)

// Credentials are the secrets by which our own services use a NATS that runs elsewhere: seeds, whose public halves are in
// the configuration of its servers (ClusterConfig). Kept in a file of mode 0600, as JSON.
type Credentials struct {
	// Services is the seed of the user that relay, projector and the others are: every permission in APP.
	Services string `json:"services"`
	// Auth and Issuer are needed only by who admits clients: the seed of the callout's user, and that of the account key
	// which signs the users it admits. Whoever has them can make any user.
	Auth   string `json:"auth,omitempty"`
	Issuer string `json:"issuer,omitempty"`
	// System is the seed of the user that may end connections. Without it, as in files of before, a revoked token's connections
	// end by themselves, within an hour.
	System string `json:"system,omitempty"`
}

// NewCredentials makes new ones.
func NewCredentials() (Credentials, error) {
	var c Credentials
	for _, k := range []struct {
		create func() (nkeys.KeyPair, error)
		to     *string
	}{{nkeys.CreateUser, &c.Services}, {nkeys.CreateUser, &c.Auth}, {nkeys.CreateAccount, &c.Issuer}, {nkeys.CreateUser, &c.System}} {
		pair, err := k.create()
		if err != nil {
			return Credentials{}, fmt.Errorf("nats: make a key: %w", err)
		}
		seed, err := pair.Seed()
		if err != nil {
			return Credentials{}, fmt.Errorf("nats: make a key: %w", err)
		}
		*k.to = string(seed)
	}
	return c, nil
}

// WithoutAdmission returns what services need that admit nobody.
func (c Credentials) WithoutAdmission() Credentials { return Credentials{Services: c.Services} }

// Admits reports whether the credentials are enough for ServeCallout.
func (c Credentials) Admits() bool { return c.Auth != "" && c.Issuer != "" }

// ReadCredentials reads a file of credentials, which nobody but its owner may be able to read. Its errors never quote what
// is in the file.
func ReadCredentials(path string) (Credentials, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Credentials{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Credentials{}, fmt.Errorf("%s can be read by others: run chmod 600 %s", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Credentials{}, err
	}
	var c Credentials
	if json.Unmarshal(b, &c) != nil || c.check() != nil {
		return Credentials{}, fmt.Errorf("%s does not hold NATS credentials: make them with gantry admin nats-config", path)
	}
	return c, nil
}

// check makes sure that every seed is of its kind.
func (c Credentials) check() error {
	if c.Services == "" {
		return errors.New("no seed of the services")
	}
	for _, k := range []struct {
		seed string
		want nkeys.PrefixByte
	}{{c.Services, nkeys.PrefixByteUser}, {c.Auth, nkeys.PrefixByteUser}, {c.Issuer, nkeys.PrefixByteAccount}, {c.System, nkeys.PrefixByteUser}} {
		if k.seed == "" {
			continue
		}
		kind, _, err := nkeys.DecodeSeed([]byte(k.seed))
		if err != nil || kind != k.want {
			return errors.New("a seed is not of its kind")
		}
	}
	return nil
}

// public is the public half of a seed, as a server's configuration has it.
func public(seed string) (string, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return "", errors.New("nats: not a seed")
	}
	return pair.PublicKey()
}
