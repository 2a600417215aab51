package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

const password = "correct horse battery"

func (w *world) user(name string) postgres.User {
	w.t.Helper()
	u, err := w.CreateUser(w.t.Context(), postgres.NewUser{Username: name, Email: name + "@example.com", Password: password})
	w.ok(err)
	return u
}

func TestRolesIncludeEachOther(t *testing.T) {
	t.Parallel()
	all := append([]postgres.Role{postgres.RoleNone}, postgres.Roles()...)
	for i, have := range all {
		for j, need := range all {
			if got, want := have.Covers(need), i >= j; got != want {
				t.Errorf("%q covers %q: got %v, want %v", have, need, got, want)
			}
		}
		if have.Covers("owner") || postgres.Role("owner").Covers(have) {
			t.Errorf("a role that does not exist is compared with %q", have)
		}
	}
}

func TestUsersAreFoundByNameAndEmail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user("Ann")
	for _, ref := range []string{ann.ID, "ann", "ANN", "ann@EXAMPLE.com"} {
		got, err := w.User(ctx, ref)
		w.ok(err)
		if diff := cmp.Diff(ann, got); diff != "" {
			t.Errorf("user %q (-want +got):\n%s", ref, diff)
		}
	}
	for _, bad := range []postgres.NewUser{
		{Username: ""}, {Username: "a b"}, {Username: "a@b"}, {Username: "user-x"}, {Username: "-x"}, {Username: strings.Repeat("x", 91)},
		{Username: "b", Email: "no address"}, {Username: "b", Email: "Bob <b@example.com>"}, {Username: "b", Password: "short"},
		{Username: "b", Password: strings.Repeat("x", 201)},
	} {
		_, err := w.CreateUser(ctx, bad)
		w.refused(err, messages.CodeInvalid)
	}
	for _, taken := range []postgres.NewUser{{Username: "aNN"}, {Username: "b", Email: "ANN@example.com"}} {
		_, err := w.CreateUser(ctx, taken)
		w.refused(err, messages.CodeNameTaken)
	}
	if n := w.count(`SELECT count(*) FROM users u WHERE u::text LIKE '%' || $1 || '%' OR password NOT LIKE '$argon2id$%'`, password); n != 0 {
		t.Error("a password is readable in the database")
	}
}

func TestADeletedUserLeavesTheName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user("ann")
	_, err := w.SetMember(ctx, w.org.ID, ann.ID, postgres.RoleWrite)
	w.ok(err)
	_, token, err := w.CreateToken(ctx, postgres.NewToken{Description: "laptop", UserID: ann.ID})
	w.ok(err)
	holder, err := w.LogIn(ctx, "ann", password, "::1")
	w.ok(err)
	session, _, err := w.CreateSession(ctx, holder, time.Hour)
	w.ok(err)
	w.ok(w.DeleteUser(ctx, ann.ID))
	_, err = w.Token(ctx, token)
	w.refused(err, messages.CodeUnauthorized)
	_, err = w.Session(ctx, session)
	w.refused(err, messages.CodeUnauthorized)
	_, err = w.LogIn(ctx, "ann", password, "::1")
	w.refused(err, messages.CodeUnauthorized)
	_, err = w.User(ctx, "ann")
	w.refused(err, messages.CodeNotFound)
	w.refused(w.DeleteUser(ctx, ann.ID), messages.CodeNotFound)
	_, err = w.CreateUser(ctx, postgres.NewUser{Username: "ann"})
	w.refused(err, messages.CodeNameTaken)
	_, err = w.SetMember(ctx, w.org.ID, ann.ID, postgres.RoleRead)
	w.refused(err, messages.CodeNotFound)
}

func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ann, bob := w.user("ann"), w.user("bob")
	set := func(u postgres.User, r postgres.Role) error {
		_, err := w.SetMember(ctx, w.org.ID, u.ID, r)
		return err
	}
	w.ok(set(ann, postgres.RoleAdmin))
	w.ok(set(bob, postgres.RoleRead))
	w.refused(set(ann, postgres.RoleWrite), messages.CodeConflict)
	w.refused(w.RemoveMember(ctx, w.org.ID, ann.ID), messages.CodeConflict)
	w.refused(w.DeleteUser(ctx, ann.ID), messages.CodeConflict)
	w.refused(set(bob, "owner"), messages.CodeInvalid)
	w.ok(set(bob, postgres.RoleAdmin))

	errs := make([]error, 2) // both leave at once: one has to stay
	var leaving sync.WaitGroup
	for i, u := range []postgres.User{ann, bob} {
		leaving.Go(func() { errs[i] = set(u, postgres.RolePlan) })
	}
	leaving.Wait()
	got := []messages.Code{codeOf(errs[0]), codeOf(errs[1])}
	slices.Sort(got)
	if diff := cmp.Diff([]messages.Code{"", messages.CodeConflict}, got); diff != "" {
		t.Errorf("two last admins leave at once (-want +got):\n%s", diff)
	}

	w.ok(w.SetSiteAdmin(ctx, ann.ID, true))
	w.refused(w.SetSiteAdmin(ctx, ann.ID, false), messages.CodeConflict)
	w.ok(w.EnsureToken(ctx, "gantry-from-file", postgres.TokenAdmin, "", "admin"))
	w.ok(w.SetSiteAdmin(ctx, ann.ID, false))
}

func TestRoleInIsWhatItIsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user("ann")
	_, secret, err := w.CreateToken(ctx, postgres.NewToken{Description: "x", UserID: ann.ID})
	w.ok(err)
	_, ci, err := w.CreateToken(ctx, postgres.NewToken{Description: "ci", OrganizationID: w.org.ID, Role: postgres.RolePlan})
	w.ok(err)
	role := func(secret string) postgres.Role {
		t.Helper()
		holder, err := w.Token(ctx, secret)
		w.ok(err)
		r, err := w.RoleIn(ctx, holder, w.org.ID)
		w.ok(err)
		return r
	}
	got := []postgres.Role{role(secret), role(ci)}
	_, err = w.SetMember(ctx, w.org.ID, ann.ID, postgres.RoleWrite)
	w.ok(err)
	got = append(got, role(secret))
	w.ok(w.RemoveMember(ctx, w.org.ID, ann.ID))
	got = append(got, role(secret))
	w.ok(w.SetSiteAdmin(ctx, ann.ID, true))
	got = append(got, role(secret))
	want := []postgres.Role{postgres.RoleNone, postgres.RolePlan, postgres.RoleWrite, postgres.RoleNone, postgres.RoleAdmin}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	holder, err := w.Token(ctx, ci)
	w.ok(err)
	if got, want := holder.Actor(), "token ci"; got != want {
		t.Errorf("actor: got %q, want %q", got, want)
	}
	other, err := w.CreateOrganization(ctx, "other")
	w.ok(err)
	if r, err := w.RoleIn(ctx, holder, other.ID); err != nil || r != postgres.RoleNone {
		t.Errorf("the token of one organization in another: got %q (%v), want none", r, err)
	}
}

func TestLoginsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.user("ann")
	w.user("bob")
	try := func(name, secret, from string) messages.Code {
		_, err := w.LogIn(ctx, name, secret, from)
		return codeOf(err)
	}
	for range 20 { // a right one is not counted
		if got := try("ann", password, "192.0.2.9"); got != "" {
			t.Fatalf("got %q, want a login", got)
		}
	}
	var guesses sync.WaitGroup
	codes := make([]messages.Code, 15)
	for i := range codes { // at once, from everywhere, in all spellings
		guesses.Go(func() {
			codes[i] = try([]string{"ann", "ANN", "ann@example.com"}[i%3], fmt.Sprintf("guess %d", i), fmt.Sprintf("192.0.2.%d", i))
		})
	}
	guesses.Wait()
	counts := map[messages.Code]int{}
	for _, c := range codes {
		counts[c]++
	}
	if diff := cmp.Diff(map[messages.Code]int{messages.CodeUnauthorized: 10, messages.CodeTooManyRequests: 5}, counts); diff != "" {
		t.Errorf("15 guesses at once (-want +got):\n%s", diff)
	}
	got := []messages.Code{try("ann", password, "192.0.2.1"), try("bob", password, "192.0.2.1"), try("nobody", password, "192.0.2.1")}
	if diff := cmp.Diff([]messages.Code{messages.CodeTooManyRequests, "", messages.CodeUnauthorized}, got); diff != "" {
		t.Errorf("the limited name, another, an unknown one (-want +got):\n%s", diff)
	}
	w.raw.MustExec(`UPDATE login_attempts SET at = at - interval '5 minutes'`)
	if got := try("ann", password, "192.0.2.1"); got != "" {
		t.Errorf("after the wait: got %q, want a login", got)
	}
	w.raw.MustExec(`INSERT INTO login_attempts (subject, at) SELECT 'address 192.0.2.66', now() FROM generate_series(1, 100)`)
	if got := try("bob", password, "192.0.2.66"); got != messages.CodeTooManyRequests {
		t.Errorf("an address that guesses: got %q, want it limited", got)
	}
	w.ok(w.Sweep(context.WithoutCancel(ctx)))
}

func TestANewPasswordEndsTheSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user("ann")
	begin := func() string {
		holder, err := w.LogIn(ctx, "ann@example.com", password, "::1")
		w.ok(err)
		secret, want, err := w.CreateSession(ctx, holder, time.Hour)
		w.ok(err)
		got, err := w.Session(ctx, secret)
		w.ok(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("session (-want +got):\n%s", diff)
		}
		return secret
	}
	kept, ended := begin(), begin()
	w.refused(w.SetPassword(ctx, ann.ID, "short", kept), messages.CodeInvalid)
	w.ok(w.SetPassword(ctx, ann.ID, "another passphrase", kept))
	_, err := w.Session(ctx, kept)
	w.ok(err)
	_, err = w.Session(ctx, ended)
	w.refused(err, messages.CodeUnauthorized)
	_, err = w.LogIn(ctx, "ann", password, "::1")
	w.refused(err, messages.CodeUnauthorized)
	_, err = w.LogIn(ctx, "ann", "another passphrase", "::1")
	w.ok(err)
}
