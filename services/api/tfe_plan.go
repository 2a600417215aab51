package api

import (
	"fmt"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// A run has one plan and one apply from its first moment, before there is a task: their ids are made of the run's.
const (
	prefixRun   = "run-"
	prefixPlan  = "plan-"
	prefixApply = "apply-"
)

func planID(runID string) string  { return prefixPlan + strings.TrimPrefix(runID, prefixRun) }
func applyID(runID string) string { return prefixApply + strings.TrimPrefix(runID, prefixRun) }

// tfePlan is the plan of a run.
type tfePlan struct {
	ID                     string `jsonapi:"primary,plans"`
	Status                 string `jsonapi:"attr,status"`
	HasChanges             bool   `jsonapi:"attr,has-changes"`
	GeneratedConfiguration bool   `jsonapi:"attr,generated-configuration"`
	LogReadURL             string `jsonapi:"attr,log-read-url"`
	ResourceAdditions      int    `jsonapi:"attr,resource-additions"`
	ResourceChanges        int    `jsonapi:"attr,resource-changes"`
	ResourceDestructions   int    `jsonapi:"attr,resource-destructions"`
	ResourceImports        int    `jsonapi:"attr,resource-imports"`
	StatusTimestamps       stamps `jsonapi:"attr,status-timestamps"`
}

// tfeApply is the apply of a run.
type tfeApply struct {
	ID                   string `jsonapi:"primary,applies"`
	Status               string `jsonapi:"attr,status"`
	LogReadURL           string `jsonapi:"attr,log-read-url"`
	ResourceAdditions    int    `jsonapi:"attr,resource-additions"`
	ResourceChanges      int    `jsonapi:"attr,resource-changes"`
	ResourceDestructions int    `jsonapi:"attr,resource-destructions"`
	ResourceImports      int    `jsonapi:"attr,resource-imports"`
	StatusTimestamps     stamps `jsonapi:"attr,status-timestamps"`
}

// Statuses of a plan or apply.
const (
	phasePending     = "pending"
	phaseQueued      = "queued"
	phaseRunning     = "running"
	phaseFinished    = "finished"
	phaseErrored     = "errored"
	phaseCanceled    = "canceled"
	phaseUnreachable = "unreachable" // it will never run, because its run is over
)

func phaseStatus(r run.Run, t *run.Task) string {
	canceled := r.Status == run.Canceled || r.Status == run.ForceCanceled
	switch {
	case t == nil && r.Status.Final() && (r.Plan == nil || !r.Timestamps[run.Confirmed].IsZero()):
		return phaseCanceled // not unreachable, for whose end Terraform's CLI would wait
	case t == nil && r.Status.Final():
		return phaseUnreachable
	case t == nil:
		return phasePending
	case t.State == run.TaskQueued, t.State == run.TaskClaimed:
		return phaseQueued
	case t.State == run.TaskStarted:
		return phaseRunning
	case t.Outcome == run.Succeeded:
		return phaseFinished
	case canceled:
		return phaseCanceled
	default:
		return phaseErrored
	}
}

func phaseStamps(t *run.Task, status string) stamps {
	out := stamps{}
	if t == nil {
		return out
	}
	out.set("queued-at", &t.QueuedAt)
	if a := t.Last(); a != nil {
		out.set("started-at", a.StartedAt)
		switch status {
		case phaseFinished, phaseErrored, phaseCanceled:
			out.set(status+"-at", a.ClosedAt)
		}
	}
	return out
}

func changes(t *run.Task) run.Changes {
	if t == nil || t.Changes == nil {
		return run.Changes{}
	}
	return *t.Changes
}

// LogURL is an address that carries its own permission, in its path: Terraform's CLI sends no token with it and replaces
// its query.
func (s *Server) LogURL(runID string, p messages.Phase) string {
	signature := s.signer.sign(signedLog, fmt.Sprintf("%s/%s", runID, p), time.Now().Add(logLife))
	return s.link("/api/v2/signed/%s/logs/%s/%s", signature, runID, p)
}

func (s *Server) planDocument(r run.Run) *tfePlan {
	n, status := changes(r.Plan), phaseStatus(r, r.Plan)
	return &tfePlan{
		ID: planID(r.ID), Status: status, HasChanges: r.HasChanges, LogReadURL: s.LogURL(r.ID, messages.PhasePlan),
		ResourceAdditions: n.Add, ResourceChanges: n.Change, ResourceDestructions: n.Destroy, ResourceImports: n.Import,
		StatusTimestamps: phaseStamps(r.Plan, status),
	}
}

func (s *Server) applyDocument(r run.Run) *tfeApply {
	n, status := changes(r.Apply), phaseStatus(r, r.Apply)
	return &tfeApply{
		ID: applyID(r.ID), Status: status, LogReadURL: s.LogURL(r.ID, messages.PhaseApply),
		ResourceAdditions: n.Add, ResourceChanges: n.Change, ResourceDestructions: n.Destroy, ResourceImports: n.Import,
		StatusTimestamps: phaseStamps(r.Apply, status),
	}
}

// runOf finds the run of a plan or apply.
func (s *Server) runOf(r *request, what, prefix string) (run.Run, error) {
	id := r.PathValue(what)
	rest, ok := strings.CutPrefix(id, prefix)
	if !ok {
		return run.Run{}, notFound(what, id)
	}
	found, err := s.db.Run(r.Context(), prefixRun+rest)
	if isNotFound(err) {
		err = notFound(what, id)
	}
	return found, err
}

func (s *Server) showPlan(r *request) (reply, error) {
	found, err := s.runOf(r, "plan", prefixPlan)
	if err != nil {
		return reply{}, err
	}
	return object(s.planDocument(found))
}

func (s *Server) showApply(r *request) (reply, error) {
	found, err := s.runOf(r, "apply", prefixApply)
	if err != nil {
		return reply{}, err
	}
	return object(s.applyDocument(found))
}

// planJSON answers "no content" until the plan is there: it follows the end of the plan, because nobody waits for it.
func (s *Server) planJSON(r *request) (reply, error) {
	found, err := s.runOf(r, "plan", prefixPlan)
	if err != nil {
		return reply{}, err
	}
	blob, err := s.db.Blob(r.Context(), found.ID, postgres.BlobPlanJSON)
	if isNotFound(err) {
		return reply{}, nil
	}
	return blobReply(blob, kindJSON, err)
}
