package api_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// sign signs as the server does; the format is part of what links in flight depend on across an update.
func (f *fixture) sign(what, id string, until time.Time) string {
	exp := strconv.FormatInt(until.Unix(), 36)
	h := hmac.New(sha256.New, f.key)
	fmt.Fprintf(h, "%s\n%s\n%s", what, id, exp)
	return exp + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func (f *fixture) logPath(runID, phase string) string {
	return fmt.Sprintf("/api/v2/signed/%s/logs/%s/%s", f.sign("log", runID+"/"+phase, time.Now().Add(time.Hour)), runID, phase)
}

// archive is a tar.gz with one file of the size.
func archive(t testing.TB, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	must(t, w.WriteHeader(&tar.Header{Name: "main.tf", Mode: 0o644, Size: int64(size)}))
	_, err := w.Write(make([]byte, size))
	must(t, err)
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

func TestUploadConfiguration(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cv, err := f.db.CreateConfigurationVersion(t.Context(), postgres.NewConfigurationVersion{WorkspaceID: f.ws.ID})
	must(t, err)
	path := func(id, signature string) string {
		return "/api/v2/signed/" + signature + "/configuration-versions/" + id
	}
	later := time.Now().Add(time.Hour)
	good := path(cv.ID, f.sign("upload", cv.ID, later))
	body := archive(t, 5000)
	var plain bytes.Buffer
	z, err := gzip.NewReader(bytes.NewReader(body))
	must(t, err)
	_, err = plain.ReadFrom(z)
	must(t, err)
	var shortTar bytes.Buffer
	zw := gzip.NewWriter(&shortTar)
	_, err = zw.Write(plain.Bytes()[:600])
	must(t, err)
	must(t, zw.Close())
	for name, bad := range map[string][]byte{
		"empty": {}, "not compressed": plain.Bytes(), "cut off": body[:len(body)/2], "without checksum": body[:len(body)-4],
		"tar cut off": shortTar.Bytes(), "something behind": append(bytes.Clone(body), "rest"...),
	} {
		t.Run(name, func(t *testing.T) {
			f.call("PUT", good, "", bad).want(http.StatusUnprocessableEntity, messages.CodeConfigurationInvalid)
		})
	}
	f.call("PUT", path(cv.ID, f.sign("upload", cv.ID, time.Now().Add(-2*time.Second))), "", body).want(http.StatusUnauthorized, messages.CodeUnauthorized)
	f.call("PUT", path(cv.ID, f.sign("log", cv.ID, later)), "", body).want(http.StatusNotFound, messages.CodeNotFound)
	f.call("PUT", path(cv.ID, f.sign("upload", "cv-other", later)), "", body).want(http.StatusNotFound, messages.CodeNotFound)
	f.call("PUT", path("cv-none", f.sign("upload", "cv-none", later)), "", body).want(http.StatusNotFound, messages.CodeNotFound)
	for i := range len(good) - len("/configuration-versions/"+cv.ID) {
		at := i + len("/api/v2/signed/")
		if at >= len(good)-len("/configuration-versions/"+cv.ID)-1 { // the last character has bits that mean nothing
			break
		}
		tampered := []byte(good)
		tampered[at] ^= 1
		if a := f.call("PUT", string(tampered), "", body); a.status != http.StatusNotFound && a.status != http.StatusUnauthorized && a.status != http.StatusMethodNotAllowed {
			t.Errorf("signature changed at %d: got %d, want it refused", at, a.status)
		}
	}
	for range 2 {
		f.call("PUT", good, "", body).want(http.StatusOK, "")
	}
	f.call("PUT", good, "", archive(t, 10)).want(http.StatusConflict, messages.CodeConflict)
	blob, err := f.db.Blob(t.Context(), cv.ID, postgres.BlobConfiguration)
	must(t, err)
	have, err := io.ReadAll(blob)
	if err != nil || !bytes.Equal(have, body) {
		t.Errorf("stored archive: got %d bytes, %v; want the %d uploaded", len(have), err, len(body))
	}
}

func (f *fixture) append(c postgres.LogChunk) {
	f.t.Helper()
	must(f.t, f.db.AppendLog(f.t.Context(), c))
}

// TestLogIsExactAtEveryOffset reads every range of a log while it grows and after its end.
func TestLogIsExactAtEveryOffset(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{PlanOnly: true})
	path := f.logPath(r.ID, "plan")
	check := func(want string) {
		t.Helper()
		for offset := 0; offset <= len(want)+2; offset++ {
			for limit := 1; limit <= len(want)+2; limit++ {
				var part string
				if offset < len(want) {
					part = want[offset:min(offset+limit, len(want))]
				}
				got := f.get(fmt.Sprintf("%s?limit=%d&offset=%d&wait=0", path, limit, offset), "").want(http.StatusOK, "")
				if string(got.body) != part {
					t.Fatalf("of %q from %d, %d bytes: got %q, want %q", want, offset, limit, got.body, part)
				}
			}
		}
	}
	check("\x02")
	c := f.claim(r.Plan.ID)
	f.start(c)
	check("\x02")
	f.append(postgres.LogChunk{AttemptID: c.AttemptID, Data: []byte("one\n")})
	check("\x02one\n")
	f.append(postgres.LogChunk{AttemptID: c.AttemptID, Offset: 4, Data: []byte("\xc3\xa9\x03")})
	f.transition(r.ID, run.Finish{AttemptID: c.AttemptID, Outcome: run.Succeeded})
	check("\x02one\n\xc3\xa9\x03") // its end is not here yet
	f.append(postgres.LogChunk{AttemptID: c.AttemptID, Offset: 7, End: true})
	check("\x02one\n\xc3\xa9\x03\x03")
	for _, query := range []string{"limit=0", "limit=x", "offset=-1", "offset=9223372036854775808"} {
		f.get(path+"?"+query, "").want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	}
	f.get(path+"?limit=9223372036854775807&offset=9223372036854775807", "").want(http.StatusOK, "")
}

func TestLogOfAPhaseThatIsNotThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.newRun(run.Options{})
	waiting := f.newRun(run.Options{})
	path := f.logPath(waiting.ID, "plan")
	if got := f.get(path+"?wait=0", "").want(http.StatusOK, ""); len(got.body) != 0 {
		t.Errorf("log of a pending run: got %q, want nothing yet", got.body)
	}
	f.transition(waiting.ID, run.Cancel{})
	if got := f.get(path, "").want(http.StatusOK, ""); string(got.body) != "\x02\x03" {
		t.Errorf("log of a phase that never comes: got %q, want STX ETX", got.body)
	}
	f.get(f.logPath("run-none", "plan"), "").want(http.StatusNotFound, messages.CodeNotFound)
	expired := f.sign("log", waiting.ID+"/plan", time.Now().Add(-2*time.Second))
	f.get("/api/v2/signed/"+expired+"/logs/"+waiting.ID+"/plan", "").want(http.StatusUnauthorized, messages.CodeUnauthorized)
	f.get("/api/v2/signed/"+f.sign("log", waiting.ID+"/plan", time.Now().Add(time.Hour))+"/logs/"+waiting.ID+"/apply", "").want(http.StatusNotFound, messages.CodeNotFound)
}

// TestLogWaits holds an empty answer back until the run, then the log, moves.
func TestLogWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.newRun(run.Options{})
	r := f.newRun(run.Options{})
	path := f.logPath(r.ID, "plan") + "?offset="
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	read := func(offset int) <-chan string {
		out := make(chan string, 1)
		go func() {
			began := time.Now()
			got := f.get(path+strconv.Itoa(offset), "")
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("offset %d: woken after %v, want the notification to wake", offset, took)
			}
			out <- string(got.body)
		}()
		return out
	}
	expect := func(from <-chan string, want string) {
		t.Helper()
		select {
		case got := <-from:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("no answer, want %q", want)
		}
	}
	begun := read(0)
	f.transition(first.ID, run.Cancel{}) // frees the gate
	c := f.claim(f.mustRun(r.ID).Plan.ID)
	f.start(c)
	f.append(postgres.LogChunk{AttemptID: c.AttemptID, Data: []byte("te")})
	expect(begun, "\x02te") // the STX alone is not worth an answer
	grown := read(3)
	f.append(postgres.LogChunk{AttemptID: c.AttemptID, Offset: 2, Data: []byte("xt")})
	expect(grown, "xt")
	over := read(5)
	f.append(postgres.LogChunk{AttemptID: c.AttemptID, Offset: 4, End: true})
	f.transition(r.ID, run.Finish{AttemptID: c.AttemptID, Outcome: run.Failed})
	expect(over, "\x03")
	expect(read(6), "")
}

func (f *fixture) mustRun(id string) run.Run {
	f.t.Helper()
	r, err := f.db.Run(f.t.Context(), id)
	must(f.t, err)
	return r
}
