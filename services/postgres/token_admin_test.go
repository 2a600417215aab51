package postgres_test

import (
	"strings"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// siteAdmin is the holder of an admin token.
func siteAdmin() postgres.Token { return postgres.Token{Kind: postgres.TokenAdmin} }

func TestTokensOfPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.ok(w.EnsureToken(ctx, "gantry-pool-x", postgres.TokenPool, messages.LocalPool, "worker"))
	for _, description := range []string{"", strings.Repeat("x", postgres.MaxDescription+1)} {
		_, _, err := w.CreateToken(ctx, postgres.NewToken{Description: description})
		w.refused(err, messages.CodeInvalid)
	}
	_, _, err := w.CreateToken(ctx, postgres.NewToken{Description: "past", Life: -time.Second})
	w.refused(err, messages.CodeInvalid)
	made, secret, err := w.CreateToken(ctx, postgres.NewToken{Description: "ada's laptop", Life: time.Hour})
	w.ok(err)
	holder, err := w.Token(ctx, secret)
	w.ok(err)
	if holder.ID != made.ID || holder.Kind != postgres.TokenAdmin || holder.ExpiresAt == nil || !strings.HasPrefix(secret, postgres.PrefixAdmin) {
		t.Errorf("got %+v of %q, want the admin token %s that expires", holder, secret[:10], made.ID)
	}
	all, err := w.Tokens(ctx, siteAdmin())
	w.ok(err)
	if len(all) != 1 || all[0].ID != made.ID || all[0].Description != "ada's laptop" || all[0].CreatedAt.IsZero() {
		t.Errorf("got %+v, want the one token of a person", all)
	}
	if n := w.count(`SELECT count(*) FROM tokens t WHERE t::text LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Error("a token is readable in the database")
	}
}

func TestARevokedTokenIsGoneForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	const fromFile = "gantry-from-a-file"
	w.ok(w.EnsureToken(ctx, fromFile, postgres.TokenAdmin, "", "first start"))
	holder, err := w.Token(ctx, fromFile)
	w.ok(err)
	session, _, err := w.CreateSession(ctx, holder, time.Hour)
	w.ok(err)
	w.ok(w.RevokeToken(ctx, siteAdmin(), holder.ID))
	_, err = w.Session(ctx, session)
	w.refused(err, messages.CodeUnauthorized)
	w.ok(w.EnsureToken(ctx, fromFile, postgres.TokenAdmin, "", "first start")) // the next start finds the file
	_, err = w.Token(ctx, fromFile)
	w.refused(err, messages.CodeUnauthorized)
	w.refused(w.RevokeToken(ctx, siteAdmin(), holder.ID), messages.CodeNotFound)
	if all, err := w.Tokens(ctx, siteAdmin()); err != nil || len(all) != 0 {
		t.Errorf("got %+v (%v), want none", all, err)
	}

	w.ok(w.EnsureToken(ctx, "gantry-pool-x", postgres.TokenPool, messages.LocalPool, "worker"))
	worker, err := w.Token(ctx, "gantry-pool-x")
	w.ok(err)
	w.refused(w.RevokeToken(ctx, siteAdmin(), worker.ID), messages.CodeNotFound)
}
