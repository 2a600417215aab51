package api

import (
	"strings"

	"gantry.example/services/postgres"
)

// tfeUser is who a token belongs to.
type tfeUser struct {
	ID               string          `jsonapi:"primary,users"`
	Username         string          `jsonapi:"attr,username"`
	IsServiceAccount bool            `jsonapi:"attr,is-service-account"`
	Permissions      map[string]bool `jsonapi:"attr,permissions"`
}

// username is what people read as the one who did something.
func username(t postgres.Token) string {
	if t.Description != "" {
		return t.Description
	}
	return string(t.Kind)
}

func showAccount(r *request) (reply, error) {
	return object(&tfeUser{
		ID: "user-" + strings.TrimPrefix(r.token.ID, "at-"), Username: username(r.token), Permissions: grants("can-create-organizations"),
	})
}
