package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"gantry.example/messages"
)

// letters is a stream of dead letters in memory.
type letters struct {
	mu       sync.Mutex
	all      []messages.DeadLetter // guarded by mu
	replayed []uint64              // guarded by mu
}

func (l *letters) List(_ context.Context, after uint64, limit int) ([]messages.DeadLetter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []messages.DeadLetter{}
	for _, d := range l.all {
		if d.ID > after && len(out) < limit {
			out = append(out, d)
		}
	}
	return out, nil
}

func (l *letters) Replay(ctx context.Context, id uint64) (messages.DeadLetter, error) {
	found, _ := l.List(ctx, id-1, 1)
	if err := l.Drop(ctx, id); err != nil {
		return messages.DeadLetter{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replayed = append(l.replayed, id)
	return found[0], nil
}

func (l *letters) Drop(_ context.Context, id uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.all)
	if l.all = slices.DeleteFunc(l.all, func(d messages.DeadLetter) bool { return d.ID == id }); len(l.all) == before {
		return &messages.Failure{Code: messages.CodeNotFound, Message: fmt.Sprintf("dead letter %d does not exist", id)}
	}
	return nil
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/gantry/v1/dead-letters"
	for _, id := range []uint64{2, 5, 9} {
		f.letters.all = append(f.letters.all, messages.DeadLetter{
			V: 1, ID: id, Subject: "status.x", Data: []byte("body"), Size: 4, Failure: messages.Failure{Code: messages.CodeInvalid, Message: "not readable"},
		})
	}
	list := func(query string) (ids []uint64) {
		var got []messages.DeadLetter
		a := f.get(path+query, adminToken)
		a.into(&got)
		for _, d := range got {
			ids = append(ids, d.ID)
		}
		if strings.Contains(string(a.body), `"data"`) {
			t.Errorf("list: got %s, want no bodies", a.body)
		}
		return ids
	}
	equal(t, "all", list(""), []uint64{2, 5, 9})
	equal(t, "a page", list("?after=2&limit=1"), []uint64{5})
	var one messages.DeadLetter
	f.get(path+"/5", adminToken).into(&one)
	equal(t, "one", string(one.Data), "body")
	f.call("POST", path+"/5/replay", adminToken, nil).want(http.StatusOK, "")
	f.call("POST", path+"/5/replay", adminToken, nil).want(http.StatusNotFound, messages.CodeNotFound)
	f.call("DELETE", path+"/9", adminToken, nil).want(http.StatusNoContent, "")
	equal(t, "replayed", f.letters.replayed, []uint64{5})
	equal(t, "left", list(""), []uint64{2})
	for _, id := range []string{"5", "0", "x", "-1", "18446744073709551616"} {
		f.get(path+"/"+id, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
		f.call("DELETE", path+"/"+id, adminToken, nil).want(http.StatusNotFound, messages.CodeNotFound)
	}
	f.get(path+"?limit=1000", adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("limit")
	f.get(path+"?after=x", adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("after")
}
