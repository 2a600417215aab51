package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gantry.example/client"
	"gantry.example/test/bench/figures"
)

// organization is the one every installation begins with.
const organization = "default"

// target is a workspace with a configuration that waits to be run.
type target struct{ workspaceID, configurationID string }

// newTarget makes a workspace and uploads the configuration.
func (s *server) newTarget(ctx context.Context, name, configuration string) (target, error) {
	w, err := s.client.CreateWorkspace(ctx, organization, name)
	if err != nil {
		return target{}, err
	}
	cv, err := s.client.CreateConfigurationVersion(ctx, w.ID, false)
	if err != nil {
		return target{}, err
	}
	archive, err := pack(configuration)
	if err != nil {
		return target{}, err
	}
	return target{w.ID, cv.ID}, s.client.Upload(ctx, cv.UploadURL, bytes.NewReader(archive), int64(len(archive)))
}

// pack makes an upload of one file.
func pack(configuration string) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	if err := archive.WriteHeader(&tar.Header{Name: "main.tf", Mode: 0o600, Size: int64(len(configuration))}); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(archive, configuration); err != nil {
		return nil, err
	}
	err := errors.Join(archive.Close(), zip.Close())
	return b.Bytes(), err
}

// create asks for a run that applies without asking.
func (s *server) create(ctx context.Context, t target) (client.Run, error) {
	return s.client.CreateRun(ctx, client.RunOptions{WorkspaceID: t.workspaceID, ConfigurationVersionID: t.configurationID, AutoApply: true})
}

// await follows the run's event stream until it says that the run is applied.
func (s *server) await(ctx context.Context, id string) error {
	for change, err := range s.client.WatchRun(ctx, id, 0) {
		switch {
		case err != nil:
			return err
		case change.Run.Status == client.Applied:
			return nil
		case change.Run.Status.Final():
			return fmt.Errorf("run %s ended as %s, want applied: %s", id, change.Run.Status, change.Run.Failure)
		}
	}
	return fmt.Errorf("the events of run %s ended before it did", id)
}

// describeLook is how often a bench asks whether a plan's JSON form is there.
const describeLook = 50 * time.Millisecond

// described waits until the JSON forms of the runs' plans are there, which the server has made when it has time: what is measured
// next must not pay for them.
func (s *server) described(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		path := "/api/v2/plans/plan-" + strings.TrimPrefix(id, "run-") + "/json-output"
		for there := false; !there; {
			err := s.transport.Do(ctx, client.Request{Method: http.MethodGet, Path: path, OnBody: func(body io.Reader) error {
				n, err := io.Copy(io.Discard, body)
				there = n > 0
				return err
			}})
			if err == nil && !there {
				err = rest(ctx, describeLook)
			}
			if err != nil {
				return fmt.Errorf("the JSON form of the plan of %s: %w", id, err)
			}
		}
	}
	return nil
}

// outcome is what the client saw of one run.
type outcome struct {
	id      string
	asked   time.Time // the request to create it was sent
	applied time.Time // its event stream said so
}

func (o outcome) took() time.Duration { return o.applied.Sub(o.asked) }

// once runs the configuration in a fresh workspace.
func (s *server) once(ctx context.Context, name, configuration string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, onceLimit)
	defer cancel()
	t, err := s.newTarget(ctx, name, configuration)
	if err != nil {
		return outcome{}, err
	}
	asked := time.Now()
	run, err := s.create(ctx, t)
	if err != nil {
		return outcome{}, err
	}
	err = s.await(ctx, run.ID)
	return outcome{run.ID, asked, time.Now()}, err
}

// document is what a bench reads of a run.
type document struct {
	Status     client.Status               `json:"status"`
	CreatedAt  time.Time                   `json:"created_at"`
	Timestamps map[client.Status]time.Time `json:"timestamps"`
	Plan       struct {
		Attempts []struct {
			StartedAt time.Time `json:"started_at"`
		} `json:"attempts"`
	} `json:"plan"`
}

// started is how long it took from the run's creation to the permission to execute terraform.
func (d document) started() (time.Duration, error) {
	n := len(d.Plan.Attempts)
	if n != 1 || d.Plan.Attempts[0].StartedAt.IsZero() {
		return 0, fmt.Errorf("the plan has %d attempts, want 1 that was started: is the machine overloaded?", n)
	}
	return d.Plan.Attempts[0].StartedAt.Sub(d.CreatedAt), nil
}

// wholeLife is how long the run took until it was applied.
func (d document) wholeLife() time.Duration { return d.Timestamps[client.Applied].Sub(d.CreatedAt) }

func (s *server) document(ctx context.Context, id string) (document, error) {
	var d document
	err := s.transport.JSON(ctx, client.Request{Method: http.MethodGet, Path: "/api/gantry/v1/runs/" + id}, nil, &d)
	return d, err
}

// history is a run's events from the first to the last, and the version of terraform that its plan was made with.
func (s *server) history(ctx context.Context, id string) (events []figures.Event, version string, err error) {
	err = s.transport.Do(ctx, client.Request{
		Method: http.MethodGet, Path: "/api/gantry/v1/runs/" + id + "/events?after=0", Header: http.Header{"Accept": {"text/event-stream"}},
		OnBody: func(body io.Reader) (err error) {
			events, version, err = readHistory(body)
			return err
		},
	})
	if err == nil && len(events) == 0 {
		err = fmt.Errorf("run %s has no events", id)
	}
	return events, version, err
}

// readHistory takes the changes out of an event stream; every message has one line of data.
func readHistory(stream io.Reader) (events []figures.Event, version string, err error) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 8<<20)
	kind := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			kind = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || kind != "change" {
			continue
		}
		var m struct {
			Event struct {
				Type string    `json:"type"`
				At   time.Time `json:"at"`
				Data struct {
					Stage            string `json:"stage"`
					TerraformVersion string `json:"terraform_version"`
				} `json:"data"`
			} `json:"event"`
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			return nil, "", fmt.Errorf("a run's history: %w", err)
		}
		events = append(events, figures.Event{Type: m.Event.Type, Stage: m.Event.Data.Stage, At: m.Event.At})
		if v := m.Event.Data.TerraformVersion; v != "" {
			version = v
		}
	}
	return events, version, lines.Err()
}
