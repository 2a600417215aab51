package postgres_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// cutOff is the beginning of an upload whose sender breaks off.
func cutOff(content []byte) postgres.Upload {
	body := io.MultiReader(bytes.NewReader(content[:len(content)-1]), iotest.ErrReader(errors.New("cut off")))
	return postgres.Upload{Body: body, Size: int64(len(content))}
}

// checked is the upload of what is looked at, with what that says of what it read.
func checked(content []byte, says func(read int64, err error) error) postgres.Upload {
	u := postgres.InMemory(content)
	u.Check = func(r io.Reader) error { return says(io.Copy(io.Discard, r)) }
	return u
}

func TestALargeArchiveIsImmutable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: w.workspace("net").ID})
	w.ok(err)
	one := []byte(strings.Repeat("archive", blobPart/3))
	bad := &postgres.Error{Code: messages.CodeConfigurationInvalid, Message: "bad"}
	for name, tt := range map[string]struct {
		upload postgres.Upload
		want   messages.Code
	}{
		"cut off":      {cutOff(one), messages.CodeInvalid},
		"bad":          {checked(one, func(int64, error) error { return bad }), messages.CodeConfigurationInvalid},
		"bad at once":  {postgres.Upload{Body: bytes.NewReader(one), Size: int64(len(one)), Check: func(io.Reader) error { return bad }}, messages.CodeConfigurationInvalid},
		"panics":       {postgres.Upload{Body: bytes.NewReader(one), Size: int64(len(one)), Check: func(io.Reader) error { panic("a bug") }}, ""},
		"small, bad":   {checked(one[:7], func(int64, error) error { return bad }), messages.CodeConfigurationInvalid},
		"small, short": {cutOff(one[:7]), messages.CodeInvalid},
	} {
		_, err := w.UploadConfiguration(ctx, cv.ID, tt.upload)
		if codeOf(err) != tt.want {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
		if cv, err := w.ConfigurationVersion(ctx, cv.ID); err != nil || cv.Status != postgres.ConfigurationPending {
			t.Errorf("%s: got %+v, %v, want it pending", name, cv, err)
		}
	}
	for range 2 {
		cv, err = w.UploadConfiguration(ctx, cv.ID, checked(one, func(n int64, err error) error {
			if n != int64(len(one)) {
				t.Errorf("the check read %d bytes, %v, want the %d", n, err, len(one))
			}
			return err
		}))
		w.ok(err)
	}
	_, err = w.UploadConfiguration(ctx, cv.ID, postgres.InMemory(append(bytes.Clone(one), 'x')))
	w.refused(err, messages.CodeConflict)
	if got, err := w.blob(cv.ID, postgres.BlobConfiguration); err != nil || got != string(one) || cv.Size != int64(len(one)) {
		t.Errorf("got %d bytes, %v, and %+v, want the first archive", len(got), err, cv)
	}
	if n := w.uploads(); n != 0 {
		t.Errorf("got %d uploads left, want none", n)
	}
}

// TestTheSameArchiveTwiceAtOnce: who comes second finds it there, or is refused if it is another. The second begins when the first
// has begun, and ends before it.
func TestTheSameArchiveTwiceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	one := []byte(strings.Repeat("archive", blobPart/3))
	for name, tt := range map[string]struct {
		second []byte
		want   messages.Code
	}{
		"the same": {one, ""}, "another": {one[:len(one)-1], messages.CodeConflict},
	} {
		cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: w.workspace(strings.ReplaceAll(name, " ", "-")).ID})
		w.ok(err)
		_, err = w.UploadConfiguration(ctx, cv.ID, checked(one, func(_ int64, err error) error {
			if _, inner := w.UploadConfiguration(ctx, cv.ID, postgres.InMemory(tt.second)); inner != nil {
				t.Errorf("%s: who ends first got %v", name, inner)
			}
			return err
		}))
		if codeOf(err) != tt.want {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if n := w.uploads(); n != 0 {
		t.Errorf("got %d uploads left, want none", n)
	}
}

func TestLargeStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, a := w.applying(w.newRun(ws, run.Options{}).ID)
	large := func(serial int64, note string) []byte {
		return stateBody(serial, "lin", strings.Repeat(note, blobPart))
	}
	bad := errors.New("another hash")
	for _, step := range []struct {
		name   string
		upload postgres.Upload
		want   string // the error has it; "" means taken
		now    []byte
	}{
		{"cut off", cutOff(large(3, "aa")), "cut off", nil},
		{"no state", postgres.InMemory(bytes.Repeat([]byte("x"), 2*blobPart)), "not a Terraform state", nil},
		{"another hash", checked(large(3, "aa"), func(int64, error) error { return bad }), bad.Error(), nil},
		{"the first", postgres.InMemory(large(3, "aa")), "", large(3, "aa")},
		{"the same again", postgres.InMemory(large(3, "aa")), "", large(3, "aa")},
		{"another under the same serial", postgres.InMemory(large(3, "bb")), "does not follow", large(3, "aa")},
		{"the next", postgres.InMemory(large(4, "cc")), "", large(4, "cc")},
		{"a small one", postgres.InMemory(stateBody(5, "lin", "d")), "", stateBody(5, "lin", "d")},
	} {
		_, err := w.PutState(t.Context(), a, step.upload)
		if (err != nil) != (step.want != "") || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: got %v, want %q", step.name, err, step.want)
		}
		if got := w.current(ws); got != string(step.now) {
			t.Errorf("%s: the current state has %d bytes, want %d, or others", step.name, len(got), len(step.now))
		}
	}
	got := map[string]int{
		"current": w.count(`SELECT count(*) FROM state_versions WHERE NOT superseded`), "aside": w.count(`SELECT count(*) FROM state_versions WHERE superseded`),
		"in parts": w.count(`SELECT count(*) FROM blobs WHERE kind = 'state'`), "uploads": w.uploads(),
		"readable": w.count(`SELECT count(*) FROM blob_parts WHERE position('aaaa'::bytea IN sealed) > 0`),
	}
	if diff := cmp.Diff(map[string]int{"current": 3, "aside": 1, "in parts": 3, "uploads": 0, "readable": 0}, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// TestAnUploadThatIsLeftIsNoError: what cannot be discarded of an upload changes nothing of its success.
func TestAnUploadThatIsLeftIsNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, a := w.applying(w.newRun(w.workspace("net"), run.Options{}).ID)
	state := stateBody(3, "lin", strings.Repeat("aa", blobPart))
	_, err := w.PutState(t.Context(), a, postgres.InMemory(state))
	w.ok(err)
	w.raw.MustExec(`
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
		CREATE TRIGGER refuse BEFORE DELETE ON blobs FOR EACH ROW EXECUTE FUNCTION refuse()`)
	_, err = w.PutState(t.Context(), a, postgres.InMemory(state)) // which is stored already, so the upload is of no use
	w.ok(err)
	if n := w.uploads(); n != 1 {
		t.Errorf("got %d uploads left, want the one that could not be discarded", n)
	}
}

// TestLargeStatesByHand are pushed, rolled back to and taken from aside like small ones.
func TestLargeStatesByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	note := strings.Repeat("n", 2*blobPart)
	first, err := w.PushState(ctx, postgres.StatePush{WorkspaceID: ws.ID, Body: stateBody(1, "lin", note), By: "ada"})
	w.ok(err)
	again, err := w.PushState(ctx, postgres.StatePush{WorkspaceID: ws.ID, Body: stateBody(1, "lin", note), By: "ada"})
	w.ok(err)
	if again.ID != first.ID {
		t.Errorf("the same state again: got version %s, want %s", again.ID, first.ID)
	}
	_, err = w.PushState(ctx, postgres.StatePush{WorkspaceID: ws.ID, Body: stateBody(2, "lin", "small"), By: "ada"})
	w.ok(err)
	back, err := w.RollbackState(ctx, ws.ID, first.ID, "ada")
	w.ok(err)
	got := w.current(ws)
	if back.Serial != 3 || !strings.Contains(got, note) || int64(len(got)) != back.Size {
		t.Errorf("rolled back: got %+v with %d bytes, want serial 3 and the note", back, len(got))
	}
}

// TestALargeStateOfTheTimeBefore, which is whole in its row, is read.
func TestALargeStateOfTheTimeBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	state := stateBody(1, "lin", strings.Repeat("n", 2*blobPart))
	sv, err := w.PushState(t.Context(), postgres.StatePush{WorkspaceID: ws.ID, Body: state, By: "ada"})
	w.ok(err)
	sealed, err := w.sealer.Seal(state, []byte("state/"+sv.ID))
	w.ok(err)
	w.raw.MustExec(`UPDATE state_versions SET sealed = $1`, sealed)
	w.raw.MustExec(`DELETE FROM blobs WHERE kind = 'state'`)
	if got := w.current(ws); got != string(state) {
		t.Errorf("got %d bytes, want the %d that were stored", len(got), len(state))
	}
}
