package postgres_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// blobPart is the size of a part of a blob.
const blobPart = 4 << 20

// putPlan stores a plan.
func (w *world) putPlan(a postgres.Attempt, kind postgres.BlobKind, content string) error {
	return w.PutPlan(w.t.Context(), a, kind, postgres.InMemory([]byte(content)))
}

// blob is the whole of one.
func (w *world) blob(owner string, kind postgres.BlobKind) (string, error) {
	b, err := w.Blob(w.t.Context(), owner, kind)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(b)
	if err == nil && int64(len(content)) != b.Size {
		w.t.Errorf("%s of %s: got %d bytes, want the %d it says", kind, owner, len(content), b.Size)
	}
	return string(content), err
}

// uploads is how many large blobs are being received, or were broken off.
func (w *world) uploads() int { return w.count(`SELECT count(*) FROM blobs WHERE owner LIKE 'up-%'`) }

// TestALargePlanThatIsRefusedLeavesNothing: neither one of an attempt that is over, nor one whose sender breaks off, leaves a part
// behind or harms the one before.
func TestALargePlanThatIsRefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	_, a := w.started(r.ID)
	before := strings.Repeat("before", blobPart/3)
	w.ok(w.putPlan(a, postgres.BlobPlan, before))
	half := io.MultiReader(strings.NewReader(before), iotest.ErrReader(errors.New("cut off")))
	w.refused(w.PutPlan(t.Context(), a, postgres.BlobPlan, postgres.Upload{Body: half, Size: int64(2 * len(before))}), messages.CodeInvalid)
	w.refused(w.PutPlan(t.Context(), a, postgres.BlobPlan, postgres.Upload{Body: strings.NewReader("x"), Size: 2}), messages.CodeInvalid)
	w.result(a, planResult())
	w.refused(w.putPlan(a, postgres.BlobPlan, strings.Repeat("late", blobPart)), messages.CodeAttemptClosed)
	if n := w.uploads(); n != 0 {
		t.Errorf("got %d uploads left, want none", n)
	}
	if got, err := w.blob(r.ID, postgres.BlobPlan); err != nil || got != before {
		t.Errorf("got %d bytes, %v, want the %d of the first one", len(got), err, len(before))
	}
}

// TestABlobThatIsReplacedWhileItIsRead fails its reader, who would have had a mixture.
func TestABlobThatIsReplacedWhileItIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	_, a := w.started(r.ID)
	w.ok(w.putPlan(a, postgres.BlobPlan, strings.Repeat("one!", blobPart/2)))
	b, err := w.Blob(t.Context(), r.ID, postgres.BlobPlan)
	w.ok(err)
	w.ok(w.putPlan(a, postgres.BlobPlan, strings.Repeat("two!", blobPart/2)))
	if got, err := io.ReadAll(b); err == nil {
		t.Errorf("got %d bytes and no error, want one", len(got))
	}
}

// TestUploadsThatWereBrokenOffAreSwept after a day.
func TestUploadsThatWereBrokenOffAreSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id, age := range map[string]string{"up-old": "25 hours", "up-new": "23 hours", "run-old": "25 hours"} {
		w.exec(`INSERT INTO blobs (owner, kind, size, sealed, created_at) VALUES ('` + id + `', 'plan', 1, 'x', now() - interval '` + age + `')`)
	}
	w.ok(w.Sweep(t.Context()))
	if n := w.count(`SELECT count(*) FROM blobs WHERE owner IN ('up-new', 'run-old')`); n != 2 || w.uploads() != 1 {
		t.Errorf("got %d blobs of two that stay, and %d uploads, want one", n, w.uploads())
	}
}
