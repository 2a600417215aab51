package dashboard

import (
	"fmt"
	"net/http"
	"strings"

	"gantry.example/internal/mask"
	"gantry.example/internal/variable"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

type resourceChange struct {
	Address  string      `json:"address"`
	Previous string      `json:"previous_address"`
	Mode     string      `json:"mode"`
	Deposed  string      `json:"deposed"`
	Reason   string      `json:"action_reason"`
	Change   valueChange `json:"change"`
}

type valueChange struct {
	Actions         []string `json:"actions"`
	Before          any      `json:"before"`
	After           any      `json:"after"`
	AfterUnknown    any      `json:"after_unknown"`
	BeforeSensitive any      `json:"before_sensitive"`
	AfterSensitive  any      `json:"after_sensitive"`
	Importing       any      `json:"importing"`
	ReplacePaths    [][]any  `json:"replace_paths"`
}

// planView is the part of a run page that shows the plan by resource. It is a page of its own too.
type planView struct {
	frame
	Address   string // of this part
	RunAt     string
	Heading   string
	State     string // "", or why there is no plan to show: waiting, none, gone, coming, large
	Size      int64  // of one that is too large, in bytes
	Resources []difference
	Outputs   []difference
	Drift     []difference
	More      int // resources that are not shown
	All       string
}

// shownResources bounds a plan on the run page. Its own page shows ten times as many.
const shownResources = 100

// plan shows the plan of a run by resource.
func (s *Server) plan(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	of, ws, _, err := s.runOf(r, session)
	if err != nil {
		return err
	}
	v := planView{
		frame: s.ofWorkspace(&session, ws, "Plan · "+heading(of), "runs"), RunAt: runAddress(ws, of.ID), Address: runAddress(ws, of.ID) + "/plan", Heading: heading(of),
	}
	most := shownResources
	if r.URL.Query().Has("all") {
		most *= 10
	}
	if err := s.readPlan(r, of, &v, most); err != nil {
		return err
	}
	return s.pages.write(w, http.StatusOK, "plan.html", v)
}

// readPlan reads the JSON plan, if the server has it. A runner sends it after the plan's result, when there is time for it.
func (s *Server) readPlan(r *http.Request, of run.Run, v *planView, most int) error {
	blob, err := s.cfg.DB.Blob(r.Context(), of.ID, postgres.BlobPlanJSON)
	if notFound(err) {
		v.State = planState(of)
		return nil
	}
	if err != nil {
		return err
	}
	if blob.Size > maxShownPlan {
		v.State, v.Size = "large", blob.Size
		return nil
	}
	values, err := s.cfg.DB.RunValues(r.Context(), of.ID)
	if err != nil {
		return err
	}
	if err := v.read(blob, mask.New(variable.Secrets(values)), most); err != nil {
		return fmt.Errorf("JSON plan of run %s: %w", of.ID, err)
	}
	return nil
}

// planState says why there is no plan to show.
func planState(of run.Run) string {
	switch {
	case of.Plan == nil || of.Plan.State != run.TaskFinished:
		return "waiting"
	case of.Plan.Outcome != run.Succeeded:
		return "none"
	case of.Status.Final():
		return "gone"
	default:
		return "coming"
	}
}

// difference describes the change. ok is false where nothing changes.
func (c resourceChange) difference(secrets *mask.Secrets) (d difference, ok bool) {
	d = difference{Address: c.Address, Why: because(c.Reason)}
	switch actions := strings.Join(c.Change.Actions, " "); {
	case c.Change.Importing != nil && (actions == "no-op" || actions == ""):
		d.Sign, d.Tone, d.What = "↓", "active", "is imported"
	case actions == "create":
		d.Sign, d.Tone, d.What = "+", "good", "is created"
	case actions == "update":
		d.Sign, d.Tone, d.What = "~", "attention", "is updated in place"
	case actions == "delete":
		d.Sign, d.Tone, d.What = "−", "bad", "is destroyed"
	case actions == "delete create", actions == "create delete":
		d.Sign, d.Tone, d.What = "±", "bad", "is replaced"
	case actions == "read":
		d.Sign, d.Tone, d.What = "≤", "neutral", "is read during the apply"
	case actions == "forget":
		d.Sign, d.Tone, d.What = "·", "neutral", "is not managed any more; it stays"
	case c.Previous != "" && c.Previous != c.Address:
		d.Sign, d.Tone, d.What = "→", "neutral", "moved from "+c.Previous
	default:
		return d, false
	}
	if c.Deposed != "" {
		d.What += " (deposed object " + c.Deposed + ")"
	}
	before := side{c.Change.Before, c.Change.BeforeSensitive, nil}
	after := side{c.Change.After, c.Change.AfterSensitive, c.Change.AfterUnknown}
	d.Attributes, d.More = compare(before, after, secrets)
	force(d.Attributes, c.Change.ReplacePaths)
	return d, true
}
