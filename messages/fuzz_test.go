package messages_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gantry.example/messages"
)

func addGolden(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "v1", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("got %d golden files for %s (%v), want some", len(files), pattern, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// Whatever a user sends, the answer is a document that survives being stored, or a *FieldError that names a place.
func FuzzParseExecution(f *testing.F) {
	addGolden(f, "execution_*.json")
	for _, s := range []string{``, `null`, `[]`, `{"pod_template":{"resources":{"limitz":1}}}`, `{"agent_pool_id":-1}`, `{"a":{"b":{"c":{}}}}`, `{"":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := messages.ParseExecution(b)
		if err != nil {
			var fe *messages.FieldError
			if !errors.As(err, &fe) || fe.Code == "" {
				t.Fatalf("got error %#v, want a *FieldError with a code", err)
			}
			return
		}
		stored, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := messages.ParseExecution(stored)
		if err != nil {
			t.Fatalf("stored as %s: %v", stored, err)
		}
		again2, err := json.Marshal(again)
		if err != nil || !reflect.DeepEqual(stored, again2) {
			t.Fatalf("stored as %s, then as %s (%v), want no difference", stored, again2, err)
		}
	})
}

// Whatever arrives on a task subject, a message that validates has a key and a subject that is one place, not a pattern.
func FuzzTask(f *testing.F) {
	addGolden(f, "task_*.json")
	for _, s := range []string{``, `null`, `{"v":2}`, `{"labels":["*"]}`, `{"id":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var task messages.Task
		if json.Unmarshal(b, &task) != nil || task.Validate() != nil {
			return
		}
		if key := task.Key(); !messages.ValidID(key, "ws-") && !messages.ValidID(key, "run-") {
			t.Errorf("got key %q, want a workspace or run id", key)
		}
		tokens := strings.Split(task.Subject(), ".")
		if token := tokens[len(tokens)-2]; strings.ContainsAny(token, "*>. ") {
			t.Errorf("got label-set token %q, want one subject token", token)
		}
	})
}

// Whatever a producer sends, the answer is a request that validates or a *Failure with a code and no value of a variable.
func FuzzParseRunRequest(f *testing.F) {
	addGolden(f, "run_request_*.json")
	for _, s := range []string{``, `null`, `[]`, `{"workspace_id":1}`, `{"options":[]}`, `{"options":{"variables":[{"kay":"x"}]}}`, `{"execution":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := messages.ParseRunRequest(b)
		var failure *messages.Failure
		switch {
		case err == nil && r.WorkspaceID == "":
			t.Fatalf("got %+v, want a workspace in every request that is taken", r)
		case err != nil && (!errors.As(err, &failure) || failure.Code == "" || failure.Message == ""):
			t.Fatalf("got error %#v, want a *Failure with a code and a message", err)
		}
	})
}

// Whatever arrives as an event, one that validates has a subject of its own that is one place, not a pattern, and an id.
func FuzzEvent(f *testing.F) {
	addGolden(f, "event_*.json")
	for _, s := range []string{``, `null`, `{"seq":-1}`, `{"attempt_id":"att-*"}`, `{"at":"never"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e messages.Event
		if json.Unmarshal(b, &e) != nil || e.Validate() != nil {
			return
		}
		if subject := messages.StatusSubject("local", "ws-x", e.RunID, e.AttemptID); strings.ContainsAny(subject, "*> ") || strings.Count(subject, ".") != 4 {
			t.Errorf("got subject %q, want one place", subject)
		}
		if !strings.Contains(e.ID(), e.AttemptID) {
			t.Errorf("got id %q, want one of attempt %s", e.ID(), e.AttemptID)
		}
	})
}
