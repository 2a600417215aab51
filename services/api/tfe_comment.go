package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// tfeComment is what somebody said about a run.
type tfeComment struct {
	ID   string `jsonapi:"primary,comments"`
	Body string `jsonapi:"attr,body"`
}

type commentRef struct {
	ID string `jsonapi:"primary,comments"`
}

// tfeRunEvent is a step of a run, in TFE's words.
type tfeRunEvent struct {
	ID          string      `jsonapi:"primary,run-events"`
	Action      string      `jsonapi:"attr,action"`
	CreatedAt   time.Time   `jsonapi:"attr,created-at,iso8601"`
	Description string      `jsonapi:"attr,description"`
	Actor       *userRef    `jsonapi:"relation,actor"`
	Comment     *commentRef `jsonapi:"relation,comment"`
	body        string      // of the comment
}

type tfeCommentInput struct {
	ID   string `jsonapi:"primary,comments"`
	Body string `jsonapi:"attr,body"`
}

// tfeCommentRoutes are TFE's calls about what people say about a run, and its history.
func (s *Server) tfeCommentRoutes() []route {
	const of = "/api/v2/runs/{run}"
	return []route{
		{method: "GET", pattern: of + "/comments", access: person, summary: "List the comments on a run, oldest first", out: []tfeComment{}, handle: s.listComments},
		{method: "POST", pattern: of + "/comments", access: person, summary: "Comment on a run", in: tfeCommentInput{}, out: tfeComment{}, status: http.StatusCreated, create: true, handle: s.addComment},
		{method: "GET", pattern: "/api/v2/comments/{comment}", access: person, summary: "Show a comment", out: tfeComment{}, handle: s.showComment},
		{method: "GET", pattern: of + "/run-events", access: person, summary: "List what happened to a run, oldest first, with its comments", out: []tfeRunEvent{},
			query: paging("include"), handle: s.listRunEvents},
		{method: "GET", pattern: "/api/v2/run-events/{event}", access: person, summary: "Show something that happened to a run", out: tfeRunEvent{}, query: []string{"include"}, handle: s.showRunEvent},
	}
}

func (s *Server) listComments(r *request) (reply, error) {
	all, err := s.db.Comments(r.Context(), r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeComment, len(all))
	for i, c := range all {
		out[i] = &tfeComment{ID: c.ID, Body: c.Body}
	}
	return list(out, postgres.Page{Size: max(len(out), 1)}, len(out))
}

func (s *Server) addComment(r *request) (reply, error) {
	var in tfeCommentInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	c, err := s.db.AddComment(r.Context(), r.PathValue("run"), r.token.Actor(), in.Body)
	if err != nil {
		return reply{}, err
	}
	return object(&tfeComment{ID: c.ID, Body: c.Body})
}

func (s *Server) showComment(r *request) (reply, error) {
	c, err := s.db.CommentByID(r.Context(), r.PathValue("comment"))
	if err != nil {
		return reply{}, err
	}
	return object(&tfeComment{ID: c.ID, Body: c.Body})
}

// shownActions are the events of a run that TFE's clients are shown, in TFE's words.
func shownActions() map[run.EventType]string {
	return map[run.EventType]string{
		run.EventCreated: "created", run.EventPlanQueued: "plan_queued", run.EventPlanned: "planned", run.EventConfirmed: "confirmed",
		run.EventApplyQueued: "apply_queued", run.EventApplied: "applied", run.EventErrored: "errored", run.EventCancelRequested: "cancel_requested",
		run.EventCanceled: "canceled", run.EventDiscarded: "discarded", run.EventOutcomeUnknown: "errored", run.EventReleased: "released",
	}
}

// maxRunEvents bounds what is read of a run that was tried again without end.
const maxRunEvents = 1000

// An event has no id of its own: it is made of the run's and its number; that of a comment's is made of the comment's.
const (
	prefixEvent   = "re-"
	prefixComment = "wsc-"
)

// runHistory is what happened to the run and what was said about it, oldest first.
func (s *Server) runHistory(r *request, runID string) ([]*tfeRunEvent, error) {
	events, err := s.db.RunEvents(r.Context(), runID, 0, maxRunEvents)
	if err != nil {
		return nil, err
	}
	comments, err := s.db.Comments(r.Context(), runID)
	if err != nil {
		return nil, err
	}
	var out []*tfeRunEvent
	said := func(until time.Time) {
		for len(comments) > 0 && comments[0].CreatedAt.Before(until) {
			c := comments[0]
			out = append(out, &tfeRunEvent{ID: prefixEvent + strings.TrimPrefix(c.ID, prefixComment), Action: "commented", CreatedAt: c.CreatedAt,
				Description: "commented", Actor: &userRef{c.Author}, Comment: &commentRef{c.ID}, body: c.Body})
			comments = comments[1:]
		}
	}
	for _, e := range events {
		action, shown := shownActions()[e.Type]
		if !shown {
			continue
		}
		said(e.At)
		out = append(out, &tfeRunEvent{ID: prefixEvent + strings.TrimPrefix(runID, prefixRun) + "-" + strconv.FormatInt(e.Seq, 10), Action: action,
			CreatedAt: e.At, Description: strings.ReplaceAll(action, "_", " "), Actor: &userRef{e.Actor}})
	}
	said(time.Now().Add(time.Hour))
	return out, nil
}

func (s *Server) listRunEvents(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	if _, err := s.db.Run(r.Context(), r.PathValue("run")); err != nil {
		return reply{}, err
	}
	all, err := s.runHistory(r, r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	total, n := len(all), p.Normal()
	from := min((n.Number-1)*n.Size, total)
	page := all[from:min(from+n.Size, total)]
	side := r.include()
	for _, e := range page {
		if err := side.addEvent(e); err != nil {
			return reply{}, err
		}
	}
	return list(page, p, total, side.docs...)
}

// addEvent loads what is asked for beside an event.
func (s *sideLoad) addEvent(e *tfeRunEvent) error {
	err := s.add("actor", e.Actor.ID, func() (any, error) {
		return namedUser(e.Actor.ID), nil
	})
	if err != nil || e.Comment == nil {
		return err
	}
	return s.add("comment", e.Comment.ID, func() (any, error) { return &tfeComment{ID: e.Comment.ID, Body: e.body}, nil })
}

// eventRun is the run that the id of an event is made of, "" where it is made of a comment's.
func eventRun(id string) (runID, comment string) {
	rest := strings.TrimPrefix(id, prefixEvent)
	if at := strings.LastIndex(rest, "-"); at >= 0 {
		return prefixRun + rest[:at], ""
	}
	return "", prefixComment + rest
}

func (s *Server) showRunEvent(r *request) (reply, error) {
	id := r.PathValue("event")
	runID, comment := eventRun(id)
	if comment != "" {
		c, err := s.db.CommentByID(r.Context(), comment)
		if err != nil {
			return reply{}, err
		}
		runID = c.RunID
	}
	all, err := s.runHistory(r, runID)
	if err != nil {
		return reply{}, err
	}
	for _, e := range all {
		if e.ID == id {
			side := r.include()
			if err := side.addEvent(e); err != nil {
				return reply{}, err
			}
			return object(e, side.docs...)
		}
	}
	return reply{}, notFound("run event", id)
}
