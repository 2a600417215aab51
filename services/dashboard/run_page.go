package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// runView is everything a run page shows beside the logs.
type runView struct {
	Run          run.Run
	Organization string
	Workspace    string
	Address      string
	Heading      string
	Status       badge
	Kinds        []string
	Situation    string         // what it does or waits for
	Onward       *link          // where that is looked after: the run it waits behind, or its pool
	Problem      string         // why the run errored
	FailedIn     messages.Phase // whose log says more, if one does
	Condition    *run.Condition
	RecoveryAt   string // address of the run that recovers this one, if any
	RecoversAt   string // address of the run that this one recovers, while it is not confirmed
	Engine       string
	Place        link // the pool
	Phases       []phaseView
	Steps        []step
	Actions      []action
	State        *link   // that its apply wrote, once it is over
	Planned      *counts // what approving it does, while it is not applied
	Viewer       viewer
}

// phaseView is the head of a phase's log. It exists before its task does.
type phaseView struct {
	Name    messages.Phase
	Title   string
	Task    *run.Task
	Status  badge
	Since   *time.Time // when it started, while it runs
	Took    string
	Summary string // instead of counts
	Counts  *counts
	Total   int    // of an apply: how many resources its plan changes
	LogAt   string // address of the log as plain text
	Shown   bool
}

// view reads what belongs to the run.
func (s *Server) view(ctx context.Context, r run.Run, ws postgres.Workspace, who viewer) (runView, error) {
	v := runView{
		Run: r, Organization: ws.OrganizationName, Workspace: ws.Name, Address: runAddress(ws, r.ID), Heading: heading(r),
		Status: statusBadge(r), Kinds: kinds(r), Engine: engine(r.Execution), Steps: steps(r), Viewer: who,
		Phases: []phaseView{phase(r, messages.PhasePlan, "Plan"), phase(r, messages.PhaseApply, "Apply")},
	}
	if !r.Status.Final() || r.Status == run.PlannedAndFinished {
		v.Planned = v.Phases[0].Counts
	}
	if r.Plan != nil && r.Plan.Changes != nil {
		c := *r.Plan.Changes
		v.Phases[1].Total = c.Add + c.Change + c.Destroy + c.Import
	}
	for i := range v.Phases {
		p := &v.Phases[i]
		p.LogAt = v.Address + "/logs/" + string(p.Name)
		p.Shown = p.Name == messages.PhasePlan || p.Task != nil
	}
	why, err := s.cfg.DB.Waiting(ctx, r)
	if err != nil {
		return v, err
	}
	if v.Situation = why.Text; v.Situation == "" {
		v.Situation = situation(r)
	}
	if v.Place, err = s.place(ctx, r.Execution.Mode, r.Pool); err != nil {
		return v, err
	}
	switch {
	case why.Behind != "":
		v.Onward = &link{"Go to that run", runAddress(ws, why.Behind)}
	case why.Reason == run.WaitNoWorker || why.Reason == run.WaitNoLabels || why.Reason == run.WaitWorkersRefuse || why.Reason == run.WaitNoSlot:
		v.Onward = &link{"Go to " + v.Place.Text, v.Place.Address}
	}
	if r.Recovery != "" {
		v.RecoveryAt = runAddress(ws, r.Recovery)
	}
	if r.Borrows() && !r.Status.Final() {
		v.RecoversAt = runAddress(ws, r.Recovers)
	}
	if v.Condition, err = s.cfg.DB.Condition(ctx, r); err != nil {
		return v, err
	}
	if v.State, err = s.stateLink(ctx, r, ws); err != nil {
		return v, err
	}
	v.Actions = actions(r, v.Condition, who, time.Now())
	if r.Status == run.Errored {
		v.Problem = sentence(r.Failure)
		if v.Problem == "" {
			v.Problem = "Terraform ended with an error. Its log below says why."
		}
		if task, attempt := lastTask(r); attempt != nil {
			v.FailedIn = task.Phase
		}
	}
	return v, nil
}

// stateLink leads to the state that the run's apply left, nil where it left none.
func (s *Server) stateLink(ctx context.Context, r run.Run, ws postgres.Workspace) (*link, error) {
	last := r.Apply.Last()
	if last == nil || !r.Status.Final() {
		return nil, nil
	}
	sv, err := s.cfg.DB.LastStateOf(ctx, last.ID)
	if notFound(err) {
		return nil, nil
	}
	return &link{fmt.Sprintf("serial %d", sv.Serial), workspaceAddress(ws) + "/states/" + sv.ID}, err
}

// place is where runs of the mode are carried out. The pool, an id or a number, may be gone.
func (s *Server) place(ctx context.Context, mode messages.Mode, pool string) (link, error) {
	switch mode {
	case messages.ModeAgent:
		p, err := s.cfg.DB.Pool(ctx, pool)
		if err == nil || notFound(err) {
			return link{"pool " + cmp.Or(p.Name, pool), pathPools + "/" + cmp.Or(p.ID, pool)}, nil
		}
		return link{}, err
	case messages.ModeK8s:
		c, err := s.cfg.DB.K8sConfig(ctx, pool)
		if err == nil || notFound(err) {
			return link{"k8s config " + cmp.Or(c.Name, pool), pathKubernetes + "/" + cmp.Or(c.ID, pool)}, nil
		}
		return link{}, err
	default:
		return link{"this server", pathPools}, nil
	}
}

func engine(e messages.Execution) string {
	name := "Terraform"
	if e.Engine == messages.EngineOpenTofu {
		name = "OpenTofu"
	}
	if e.TerraformVersion != "" {
		name += " " + e.TerraformVersion
	}
	return name
}

// phase describes the task of a phase.
func phase(r run.Run, name messages.Phase, title string) phaseView {
	t := r.Task(name)
	v := phaseView{Name: name, Title: title, Task: t, Status: badge{"Not yet", "neutral"}}
	if t == nil {
		if r.Status.Final() {
			v.Status.Text = "Not run"
		}
		return v
	}
	last := t.Last()
	if last != nil && last.StartedAt != nil {
		if last.ClosedAt == nil {
			v.Since = last.StartedAt
		} else {
			v.Took = took(last.ClosedAt.Sub(*last.StartedAt))
		}
	}
	switch {
	case t.State == run.TaskStarted && last != nil && last.State == run.AttemptLost:
		v.Status = badge{"Contact lost", "attention"}
	case t.State == run.TaskStarted:
		v.Status = badge{"Running", "active"}
	case t.State == run.TaskClaimed:
		v.Status = badge{"Starting", "active"}
	case t.State != run.TaskFinished:
		v.Status = badge{"Queued", "waiting"}
	case t.Outcome == run.Succeeded:
		v.Status = badge{"Finished", "good"}
		if t.Changes != nil && *t.Changes != (run.Changes{}) {
			v.Counts = &counts{*t.Changes, &countWords{"added", "changed", "destroyed", "imported"}}
			if name == messages.PhasePlan {
				v.Counts.Words = &countWords{"to add", "to change", "to destroy", "to import"}
			}
		} else if name == messages.PhasePlan && !r.HasChanges {
			v.Summary = "No changes"
		}
	case t.Outcome == run.Stopped || r.Status == run.Canceled || r.Status == run.ForceCanceled:
		v.Status = badge{"Canceled", "neutral"}
	case t.Outcome == run.Lost:
		v.Status = badge{"Lost", "bad"}
	default:
		v.Status = badge{"Failed", "bad"}
	}
	return v
}

func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return "under 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

type runPageView struct {
	frame
	runView
	Events []eventView
	Seq    int64 // of the last event shown: where the stream goes on
}

type eventView struct {
	run.Event
	Text, Tone string
}

// maxTimeline bounds the events on a page; a run has some dozens.
const maxTimeline = 1000

func (s *Server) runPage(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	of, ws, who, err := s.runOf(r, session)
	if err != nil {
		return err
	}
	view, err := s.view(r.Context(), of, ws, who)
	if err != nil {
		return err
	}
	events, err := s.cfg.DB.RunEvents(r.Context(), of.ID, 0, maxTimeline)
	if err != nil {
		return err
	}
	page := runPageView{frame: s.ofWorkspace(&session, ws, title(view), "runs"), runView: view}
	for _, e := range events {
		page.Events = append(page.Events, eventView{e, eventText(e), eventTone(e.Type)})
		page.Seq = e.Seq
	}
	return s.pages.write(w, http.StatusOK, "run.html", page)
}

// title begins with what one looks for among many tabs.
func title(v runView) string {
	return v.Status.Text + " · " + v.Heading + " · " + v.Organization + "/" + v.Workspace
}

// parts are the pieces of a run page that change, by the id of the element they are in.
func (s *Server) parts(v runView) (map[string]template.HTML, error) {
	out := map[string]template.HTML{}
	for id, t := range map[string]struct {
		name string
		view any
	}{
		"summary": {"summary", v}, "actions": {"actions", v}, "steps": {"steps", v}, "details": {"details", v}, "plan-head": {"phase", v.Phases[0]}, "apply-head": {"phase", v.Phases[1]},
	} {
		b, err := s.pages.render(t.name, t.view)
		if err != nil {
			return nil, err
		}
		out[id] = template.HTML(b)
	}
	return out, nil
}

// logs are the signed addresses of the run's logs, on the host the page came from.
func (s *Server) logs(runID string) (map[messages.Phase]string, error) {
	out := map[messages.Phase]string{}
	for _, p := range []messages.Phase{messages.PhasePlan, messages.PhaseApply} {
		u, err := url.Parse(s.cfg.LogURL(runID, p))
		if err != nil {
			return nil, err
		}
		out[p] = u.EscapedPath()
	}
	return out, nil
}

// rawPart is how much of a log is read at once.
const rawPart = 256 << 10

// rawLog is the log so far as plain text, for browsers without scripts and for keeping.
func (s *Server) rawLog(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	of, _, _, err := s.runOf(r, session)
	if err != nil {
		return err
	}
	name := r.PathValue("phase")
	if name != string(messages.PhasePlan) && name != string(messages.PhaseApply) {
		return missing("A run has no log named %q, only plan and apply.", name)
	}
	task := of.Task(messages.Phase(name))
	if task == nil {
		return missing("Run %s has no %s, so there is no log of it.", of.ID, name)
	}
	escapes := regexp.MustCompile(`\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])`)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`inline; filename="%s-%s.log"`, of.ID, name))
	for offset := int64(0); ; {
		part, err := s.cfg.DB.ReadLog(r.Context(), task.ID, offset, rawPart)
		if err != nil && offset > 0 { // too late for an error page
			s.cfg.Log.Error("log cut off", "run", of.ID, "task", task.ID, "offset", offset, "error", err)
			_, err = fmt.Fprintln(w, "\n[The rest of this log could not be read. Reload to try again.]")
		}
		if err != nil || len(part.Data) == 0 {
			return err
		}
		offset += int64(len(part.Data))
		if _, err := w.Write(escapes.ReplaceAll(part.Data, nil)); err != nil {
			return nil // the reader is gone
		}
	}
}
