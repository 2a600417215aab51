package postgres_test

import (
	"strings"
	"sync"
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

// TestASoleTokenIsTheOnlyOne, however many ask for it at once.
func TestASoleTokenIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	name := "ci"
	team, err := w.CreateTeam(ctx, w.org.ID, postgres.TeamChange{Name: &name})
	w.ok(err)
	for what, in := range map[string]postgres.NewToken{
		"team":         {Description: "the one", Team: team},
		"organization": {Description: "the one", OrganizationID: w.org.ID, Role: postgres.RoleAdmin},
	} {
		secrets := make(chan string, 8)
		var asking sync.WaitGroup
		for i := range cap(secrets) {
			asking.Go(func() {
				_, secret, err := w.CreateSoleToken(ctx, in, i > 0)
				if err != nil && (i > 0 || codeOf(err) != messages.CodeConflict) {
					t.Errorf("%s: %v", what, err)
				}
				secrets <- secret
			})
		}
		asking.Wait()
		close(secrets)
		good := 0
		for secret := range secrets {
			if _, err := w.Token(ctx, secret); err == nil {
				good++
			}
		}
		if good != 1 {
			t.Errorf("%s: got %d tokens that are good, want one", what, good)
		}
		_, _, err := w.CreateSoleToken(ctx, in, false)
		w.refused(err, messages.CodeConflict)
		in.Description = "another"
		_, _, err = w.CreateSoleToken(ctx, in, false)
		w.ok(err)
	}
	_, _, err = w.CreateSoleToken(ctx, postgres.NewToken{Description: "x", Team: postgres.Team{ID: "team-none"}}, true)
	w.refused(err, messages.CodeNotFound)
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
