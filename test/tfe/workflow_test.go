package tfe_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-tfe"
)

// TestCIWorkflow makes the calls that HashiCorp's actions for GitHub and images for GitLab make (tfc-workflows-tooling): find
// the workspace by name, upload a folder, create a run and wait for it, read its plan, apply it with a comment and wait, read the
// outputs. docs/ci.md shows the pipelines.
func TestCIWorkflow(t *testing.T) {
	t.Parallel()
	c := client(t)
	ctx := t.Context()
	workspace(t, c, "ci-workflow")
	w, err := c.Workspaces.Read(ctx, organization, "ci-workflow")
	must(t, err)

	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "main.tf"), []byte("resource \"terraform_data\" \"x\" { input = \"hi\" }\noutput \"x\" { value = terraform_data.x.output }\n"), 0o600))
	upload := func(speculative bool) *tfe.ConfigurationVersion {
		cv, err := c.ConfigurationVersions.Create(ctx, w.ID, tfe.ConfigurationVersionCreateOptions{
			AutoQueueRuns: tfe.Bool(false), Speculative: &speculative, Provisional: tfe.Bool(false),
		})
		must(t, err)
		must(t, c.ConfigurationVersions.Upload(ctx, cv.UploadURL, dir))
		cv, err = c.ConfigurationVersions.Read(ctx, cv.ID)
		must(t, err)
		equal(t, "configuration version", cv.Status, tfe.ConfigurationUploaded)
		return cv
	}
	run := func(cv *tfe.ConfigurationVersion, planOnly bool) *tfe.Run {
		r, err := c.Runs.Create(ctx, tfe.RunCreateOptions{
			Workspace: w, ConfigurationVersion: cv, PlanOnly: &planOnly, Message: tfe.String("Triggered by CI"), Variables: []*tfe.RunVariable{},
		})
		must(t, err)
		return r
	}

	speculative := await(t, c, run(upload(true), true).ID, tfe.RunPlannedAndFinished)
	equal(t, "plan only", speculative.PlanOnly, true)

	r := await(t, c, run(upload(false), false).ID, tfe.RunPlanned)
	plan, err := c.Plans.Read(ctx, r.Plan.ID)
	must(t, err)
	equal(t, "additions", plan.ResourceAdditions, 1)
	if _, err := c.Plans.ReadJSONOutput(ctx, plan.ID); err != nil {
		t.Errorf("plan as JSON: %v", err)
	}
	must(t, c.Runs.Apply(ctx, r.ID, tfe.RunApplyOptions{Comment: tfe.String("Apply by CI")}))
	r = await(t, c, r.ID, tfe.RunApplied)
	equal(t, "apply", r.Apply.Status, tfe.ApplyFinished)
	outputs, err := c.StateVersionOutputs.ReadCurrent(ctx, w.ID)
	must(t, err)
	if len(outputs.Items) != 1 || outputs.Items[0].Value != "hi" {
		t.Errorf("got outputs %v, want x = hi", outputs.Items)
	}
	_, err = c.Comments.Create(ctx, r.ID, tfe.CommentCreateOptions{Body: "done"})
	must(t, err)
}
