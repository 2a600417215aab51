// Package tfe_test decodes what a running server answers through the types of go-tfe, as Terraform's CLI and the tools of
// this field do. It is a module of its own, so that go-tfe and what it needs govern no build of ours; test/e2e starts the
// server and runs it. By hand: TFE_ADDRESS, TFE_TOKEN and SSL_CERT_FILE name the server, GOWORK=off go test ./...
package tfe_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-tfe"
)

const organization = "default"

func client(t *testing.T) *tfe.Client {
	t.Helper()
	if os.Getenv("TFE_ADDRESS") == "" {
		t.Skip("SKIPPED, SHAPES ARE NOT TESTED: no server is named by TFE_ADDRESS; make e2e starts one and names it")
	}
	c, err := tfe.NewClient(tfe.DefaultConfig())
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func workspace(t *testing.T, c *tfe.Client, name string) *tfe.Workspace {
	t.Helper()
	w, err := c.Workspaces.Create(t.Context(), organization, tfe.WorkspaceCreateOptions{
		Name: &name, Description: tfe.String("of a test"), Tags: []*tfe.Tag{{Name: "net"}},
	})
	must(t, err)
	return w
}

// upload stores one main.tf as a configuration version.
func upload(t *testing.T, c *tfe.Client, w *tfe.Workspace, text string, speculative bool) *tfe.ConfigurationVersion {
	t.Helper()
	cv, err := c.ConfigurationVersions.Create(t.Context(), w.ID, tfe.ConfigurationVersionCreateOptions{
		AutoQueueRuns: tfe.Bool(false), Speculative: &speculative,
	})
	must(t, err)
	if !strings.Contains(cv.UploadURL, "/signed/") || strings.Contains(cv.UploadURL, "?") {
		t.Errorf("upload URL: got %s, want its secret in the path", cv.UploadURL)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	a := tar.NewWriter(z)
	must(t, a.WriteHeader(&tar.Header{Name: "main.tf", Mode: 0o600, Size: int64(len(text))}))
	_, err = a.Write([]byte(text))
	must(t, errors.Join(err, a.Close(), z.Close()))
	must(t, c.ConfigurationVersions.UploadTarGzip(t.Context(), cv.UploadURL, &b))
	cv, err = c.ConfigurationVersions.Read(t.Context(), cv.ID)
	must(t, err)
	equal(t, "configuration version", cv.Status, tfe.ConfigurationUploaded)
	return cv
}

// await reads the run until it has the status: go-tfe has no other way.
func await(t *testing.T, c *tfe.Client, id string, want tfe.RunStatus) *tfe.Run {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-tick.C {
		r, err := c.Runs.ReadWithOptions(t.Context(), id, &tfe.RunReadOptions{Include: []tfe.RunIncludeOpt{tfe.RunPlan, tfe.RunApply, tfe.RunWorkspace}})
		must(t, err)
		if r.Status == want {
			return r
		}
		if time.Now().After(deadline) || r.Status == tfe.RunErrored {
			t.Fatalf("run %s: got %s, want %s", id, r.Status, want)
		}
	}
}

func TestOrganization(t *testing.T) {
	t.Parallel()
	c := client(t)
	o, err := c.Organizations.Read(t.Context(), organization)
	must(t, err)
	equal(t, "name", o.Name, organization)
	e, err := c.Organizations.ReadEntitlements(t.Context(), organization)
	must(t, err)
	equal(t, "operations", e.Operations, true)
	equal(t, "state storage", e.StateStorage, true)
	_, err = c.Organizations.ReadRunQueue(t.Context(), organization, tfe.ReadRunQueueOptions{})
	must(t, err)
	capacity, err := c.Organizations.ReadCapacity(t.Context(), organization)
	must(t, err)
	equal(t, "capacity of", capacity.Organization, organization)
	u, err := c.Users.ReadCurrent(t.Context())
	must(t, err)
	if u.Username == "" {
		t.Error("got no user name, want one")
	}
	if c.RemoteAPIVersion() < "2.5" {
		t.Errorf("API version: got %q, want at least 2.5", c.RemoteAPIVersion())
	}
}

func TestWorkspace(t *testing.T) {
	t.Parallel()
	c := client(t)
	w := workspace(t, c, "shape-workspace")
	equal(t, "name", w.Name, "shape-workspace")
	equal(t, "organization", w.Organization.Name, organization)
	equal(t, "execution mode", w.ExecutionMode, "remote")
	equal(t, "can queue runs", w.Permissions.CanQueueRun, true)
	equal(t, "is destroyable", w.Actions.IsDestroyable, true)
	equal(t, "tags", strings.Join(w.TagNames, " "), "net")

	_, err := c.Workspaces.AddTagBindings(t.Context(), w.ID, tfe.WorkspaceAddTagBindingsOptions{TagBindings: []*tfe.TagBinding{{Key: "zone", Value: "eu"}}})
	must(t, err)
	must(t, c.Workspaces.RemoveTags(t.Context(), w.ID, tfe.WorkspaceRemoveTagsOptions{Tags: []*tfe.Tag{{Name: "net"}}}))
	bindings, err := c.Workspaces.ListTagBindings(t.Context(), w.ID)
	must(t, err)
	if len(bindings) != 1 || bindings[0].Key != "zone" || bindings[0].Value != "eu" {
		t.Errorf("got tag bindings %v, want zone = eu", bindings)
	}
	found, err := c.Workspaces.List(t.Context(), organization, &tfe.WorkspaceListOptions{TagBindings: []*tfe.TagBinding{{Key: "zone", Value: "eu"}}})
	must(t, err)
	equal(t, "found by its tag", len(found.Items), 1)
	equal(t, "pages", found.TotalPages, 1)

	w, err = c.Workspaces.Lock(t.Context(), w.ID, tfe.WorkspaceLockOptions{Reason: tfe.String("a test")})
	must(t, err)
	equal(t, "locked", w.Locked, true)
	_, err = c.Workspaces.Lock(t.Context(), w.ID, tfe.WorkspaceLockOptions{})
	equal(t, "locked twice", err, tfe.ErrWorkspaceLocked)
	equal(t, "deleted while locked", c.Workspaces.SafeDeleteByID(t.Context(), w.ID), tfe.ErrWorkspaceLockedCannotDelete)
	_, err = c.Workspaces.ForceUnlock(t.Context(), w.ID)
	must(t, err)
	_, err = c.Workspaces.Unlock(t.Context(), w.ID)
	equal(t, "unlocked twice", err, tfe.ErrWorkspaceNotLocked)
	must(t, c.Workspaces.SafeDeleteByID(t.Context(), w.ID))
	_, err = c.Workspaces.ReadByID(t.Context(), w.ID)
	equal(t, "deleted", err, tfe.ErrResourceNotFound)
}

func TestRun(t *testing.T) {
	t.Parallel()
	c := client(t)
	w := workspace(t, c, "shape-run")
	cv := upload(t, c, w, `resource "terraform_data" "x" { input = "hi" }
output "x" { value = terraform_data.x.output }`, false)
	r, err := c.Runs.Create(t.Context(), tfe.RunCreateOptions{Workspace: w, ConfigurationVersion: cv, Message: tfe.String("hello")})
	must(t, err)
	r = await(t, c, r.ID, tfe.RunPlanned)
	equal(t, "message", r.Message, "hello")
	equal(t, "is confirmable", r.Actions.IsConfirmable, true)
	equal(t, "can apply", r.Permissions.CanApply, true)
	equal(t, "additions", r.Plan.ResourceAdditions, 1)
	equal(t, "plan", r.Plan.Status, tfe.PlanFinished)
	equal(t, "workspace", r.Workspace.Name, w.Name)
	if r.StatusTimestamps.PlannedAt.IsZero() || r.CreatedAt.IsZero() || r.Plan.StatusTimestamps.FinishedAt.IsZero() {
		t.Errorf("got times %+v, want when it was planned", r.StatusTimestamps)
	}
	events, err := c.RunEvents.List(t.Context(), r.ID, nil)
	must(t, err)
	_ = events.Items

	must(t, c.Runs.Apply(t.Context(), r.ID, tfe.RunApplyOptions{Comment: tfe.String("go on")}))
	r = await(t, c, r.ID, tfe.RunApplied)
	equal(t, "apply", r.Apply.Status, tfe.ApplyFinished)
	log, err := c.Applies.Logs(t.Context(), r.Apply.ID)
	must(t, err)
	text, err := io.ReadAll(log)
	must(t, err)
	if lines := strings.Split(string(text), "\n"); len(lines) < 4 || !strings.Contains(lines[3], "terraform_data.x") {
		t.Errorf("got the log\n%s\nwant a banner of three lines, then the apply", text)
	}
	if err := c.Runs.Discard(t.Context(), r.ID, tfe.RunDiscardOptions{}); err == nil {
		t.Error("an applied run was discarded")
	}

	list, err := c.Runs.List(t.Context(), w.ID, nil)
	must(t, err)
	equal(t, "runs", len(list.Items), 1)
	state(t, c, w)
}

// state looks at what the run left.
func state(t *testing.T, c *tfe.Client, w *tfe.Workspace) {
	t.Helper()
	sv, err := c.StateVersions.ReadCurrent(t.Context(), w.ID)
	must(t, err)
	equal(t, "state", sv.Status, tfe.StateVersionFinalized)
	equal(t, "resources processed", sv.ResourcesProcessed, true)
	body, err := c.StateVersions.Download(t.Context(), sv.DownloadURL)
	must(t, err)
	if !strings.Contains(string(body), "terraform_data") {
		t.Errorf("got state %s, want the resource in it", body)
	}
	outputs, err := c.StateVersionOutputs.ReadCurrent(t.Context(), w.ID)
	must(t, err)
	if len(outputs.Items) != 1 || outputs.Items[0].Value != "hi" {
		t.Errorf("got outputs %v, want x = hi", outputs.Items)
	}
}

func TestSavedPlan(t *testing.T) {
	t.Parallel()
	c := client(t)
	w := workspace(t, c, "shape-saved")
	cv := upload(t, c, w, `output "x" { value = 1 }`, false)
	create := func() *tfe.Run {
		r, err := c.Runs.Create(t.Context(), tfe.RunCreateOptions{Workspace: w, ConfigurationVersion: cv, SavePlan: tfe.Bool(true)})
		must(t, err)
		return await(t, c, r.ID, tfe.RunPlannedAndSaved)
	}
	first, second := create(), create() // the first does not keep the second from planning
	equal(t, "save plan", first.SavePlan, true)
	equal(t, "is discardable", first.Actions.IsDiscardable, true)
	must(t, c.Runs.Apply(t.Context(), second.ID, tfe.RunApplyOptions{}))
	await(t, c, second.ID, tfe.RunApplied)
	must(t, c.Runs.Discard(t.Context(), first.ID, tfe.RunDiscardOptions{}))
	await(t, c, first.ID, tfe.RunDiscarded)
}
