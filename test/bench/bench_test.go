package main // a main cannot be imported

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/test/bench/figures"
)

func TestParseSizes(t *testing.T) {
	t.Parallel()
	got, err := parseSizes("n", "1:50,1000:5")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]size{{1, 50}, {1000, 5}}, got, cmp.AllowUnexported(size{})); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"1", "1:0", "0:1", "1:x", "1:2,", "-1:2"} {
		if got, err := parseSizes("n", bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestGateIsASetting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  string
		args []string
		want bool
	}{{"", nil, false}, {"1", nil, true}, {"", []string{"-gate"}, true}, {"1", []string{"-gate=false"}, false}} {
		s, err := parse(c.args, func(string) string { return c.env }, io.Discard)
		if err != nil || s.gate != c.want {
			t.Errorf("GATE=%s %v: got %v, %v, want %v", c.env, c.args, s.gate, err, c.want)
		}
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	b, err := pack("hello")
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zip)
	header, err := archive.Next()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(archive)
	if err != nil || header.Name != "main.tf" || string(text) != "hello" {
		t.Errorf("got %q in %s, %v, want hello in main.tf", text, header.Name, err)
	}
	if _, err := archive.Next(); err != io.EOF {
		t.Errorf("after the file: got %v, want the archive's end", err)
	}
}

func TestReadHistory(t *testing.T) {
	t.Parallel()
	stream := strings.Join([]string{
		": a comment", "",
		"event: snapshot", "id: 1", `data: {"event":{"type":"not a change"}}`, "",
		"event: change", "id: 1", `data: {"event":{"type":"created","at":"2026-01-02T03:04:05.5Z","data":{}},"run":{}}`, "",
		"event: change", "id: 2", `data: {"event":{"type":"progress","at":"2026-01-02T03:04:06Z","data":{"stage":"init"}},"run":{}}`, "",
		"event: change", "id: 3", `data: {"event":{"type":"planned","at":"2026-01-02T03:04:07Z","data":{"terraform_version":"1.2.3"}},"run":{}}`, "",
		"event: end", "id: 3", "data: {}", "", "",
	}, "\n")
	got, version, err := readHistory(strings.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []figures.Event{
		{Type: "created", At: at.Add(500 * time.Millisecond)}, {Type: "progress", Stage: "init", At: at.Add(time.Second)},
		{Type: "planned", At: at.Add(2 * time.Second)},
	}
	if diff := cmp.Diff(want, got); diff != "" || version != "1.2.3" {
		t.Errorf("got terraform %q, want 1.2.3; events (-want +got):\n%s", version, diff)
	}
	if _, _, err := readHistory(strings.NewReader("event: change\ndata: {\n\n")); err == nil {
		t.Error("got no error for a damaged change")
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	cpus := "processor\t: 0\nmodel name\t: Abacus 3000\nprocessor\t: 1\nmodel name\t: other\n"
	mounts := "rootfs / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpfiles xfs rw 0 0\nbad\n"
	for _, c := range []struct{ name, got, want string }{
		{"processor", field(cpus, "model name"), "Abacus 3000"},
		{"no processor", field("", "model name"), ""},
		{"memory", memory("8388608 kB"), "8.0 GiB"},
		{"no memory", memory(""), ""},
		{"disk of a folder", disk(mounts, "/tmp/bench"), "tmpfs on tmpfs"},
		{"disk of the rest", disk(mounts, "/var/tmp"), "ext4 on rootfs"},
		{"no disk", disk("", "/tmp"), ""},
		{"load", load("0.10 0.20 0.30 1/200 4242\n"), "0.10 0.20 0.30"},
		{"no load", load(""), ""},
		{"last lines", lastLines("a\nb\nc\n", 2), "b\nc"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestStarted(t *testing.T) {
	t.Parallel()
	var d document
	if got, err := d.started(); err == nil {
		t.Errorf("a run without an attempt: got %v, want an error", got)
	}
	d.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d.Plan.Attempts = append(d.Plan.Attempts, struct {
		StartedAt time.Time `json:"started_at"`
	}{d.CreatedAt.Add(25 * time.Millisecond)})
	if got, err := d.started(); err != nil || got != 25*time.Millisecond {
		t.Errorf("got %v, %v, want 25ms", got, err)
	}
}
