package api

import (
	"crypto/md5" //nolint:gosec // Content-MD5 finds damage in transit; nothing is secured by it
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// attemptRoutes are the calls of workers and runners: the HTTP contract of package wire.
func (s *Server) attemptRoutes() []route {
	const one = "/api/gantry/v1/attempts/{attempt}"
	return []route{
		{method: "POST", pattern: "/api/gantry/v1/claim", access: pool, handle: s.claim, point: "api.claimed",
			summary: "Claim a task for a worker of the token's pool", in: wire.ClaimRequest{}, out: wire.Claim{}},
		{method: "POST", pattern: "/api/gantry/v1/workers", access: pool, handle: s.sawWorker,
			summary: "Tell how a worker of the token's pool is doing; said again every few seconds", in: wire.WorkerStatus{}, out: wire.WorkerOrders{}},
		{method: "POST", pattern: "/api/gantry/v1/placing", access: pool, handle: s.sawPlacements,
			summary: "Give claimed attempts that are still being placed their time again; said again every few seconds", in: wire.PlacingRequest{}, out: wire.PlacingAnswer{}},
		{method: "GET", pattern: "/api/gantry/v1/pool", access: pool, handle: s.poolInfo,
			summary: "Tell which pool the token is for", out: wire.PoolInfo{}},
		{method: "GET", pattern: one, access: attempt, handle: s.attemptStatus,
			summary: "Tell whether what the attempt does is still taken, and whether it is asked to stop", out: wire.AttemptStatus{}},
		{method: "GET", pattern: one + "/inputs", access: attempt, handle: toOpen(s.attemptInputs),
			summary: "Read what the attempt has to do", out: wire.Inputs{}},
		{method: "GET", pattern: one + "/configuration", access: attempt, handle: toOpen(s.attemptConfiguration),
			summary: "Read the configuration, a tar.gz", out: []byte{}},
		{method: "GET", pattern: one + "/state", access: attempt, handle: toOpen(s.attemptState),
			summary: "Read the state the attempt starts from; not_found when the workspace has none yet", out: []byte{}},
		{method: "PUT", pattern: one + "/state", access: attempt, handle: s.putState, point: "api.state_stored", maxBody: maxState, streamed: true,
			summary: "Store a state that terraform wrote; header Content-MD5 is checked when sent", in: []byte{}, out: wire.StateRef{}},
		{method: "GET", pattern: one + "/plan", access: attempt, handle: toOpen(s.attemptPlan),
			summary: "Read the plan file of the run", out: []byte{}},
		{method: "PUT", pattern: one + "/plan", access: attempt, handle: s.putPlan(postgres.BlobPlan), point: "api.plan_stored", maxBody: maxPlan, streamed: true,
			summary: "Store the plan file of the run", in: []byte{}},
		{method: "PUT", pattern: one + "/plan-json", access: attempt, handle: s.putPlan(postgres.BlobPlanJSON), maxBody: maxPlan, streamed: true,
			summary: "Store the plan of the run as terraform shows it in JSON", in: []byte{}},
		{method: "POST", pattern: one + "/start", access: attempt, handle: s.startAttempt, point: "api.started",
			summary: "Ask to execute terraform: only after a good answer it may be", in: wire.StartRequest{}, out: wire.StartAnswer{}},
		{method: "POST", pattern: one + "/result", access: attempt, handle: s.putResult, point: "api.result_stored",
			summary: "Hand in the result of the attempt; the first one stands", in: wire.Result{}, out: wire.ResultAnswer{}},
		{method: "POST", pattern: one + "/token", access: attempt, handle: s.renewToken,
			summary: "Give the attempt token its full life again", out: tokenAnswer{}},
	}
}

// tokenAnswer tells until when a renewed attempt token is good.
type tokenAnswer struct {
	ExpiresAt time.Time `json:"expires_at"`
}

// Bounds of what a worker says about itself.
const (
	maxWorkerText   = 500
	maxWorkerLabels = 64
)

func (s *Server) sawWorker(r *request) (reply, error) {
	var in wire.WorkerStatus
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if !messages.ValidName(in.Name) {
		return reply{}, invalid("field name: %q is not a valid worker name", in.Name)
	}
	if in.Slots < 0 || in.Busy < 0 || len(in.Refusing) > maxWorkerText {
		return reply{}, invalid("fields slots and busy must not be negative, and refusing at most %d bytes", maxWorkerText)
	}
	labels, err := messages.CanonicalLabels(in.Labels)
	if err != nil {
		return reply{}, invalid("field labels: %v", err)
	}
	switch in.Labels = labels; {
	case len(labels) > maxWorkerLabels:
		return reply{}, invalid("field labels: %d of them, and a worker may have %d", len(labels), maxWorkerLabels)
	case in.State != "" && in.State != wire.WorkerDraining && in.State != wire.WorkerExited:
		return reply{}, invalid("field state: %q is none that this server knows", in.State)
	case len(in.Version) > maxWorkerText, len(in.Instance) > maxWorkerText, len(in.After) > maxWorkerText, len(in.Runs) > maxWorkerText:
		return reply{}, invalid("fields version, instance and runs: longer than %d", maxWorkerText)
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	orders, err := s.roster.tell(r.Context(), r.token.Pool(), postgres.Word{WorkerStatus: in, Address: address})
	if err != nil {
		return reply{}, err
	}
	return plain(orders)
}

func (s *Server) sawPlacements(r *request) (reply, error) {
	var in wire.PlacingRequest
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if err := postgres.CheckPlacements(in); err != nil {
		return reply{}, err
	}
	for i, p := range in.Attempts {
		if len(p.Reason) > maxWorkerText {
			in.Attempts[i].Reason = strings.ToValidUTF8(p.Reason[:maxWorkerText], "")
		}
	}
	out, err := s.db.SawPlacements(r.Context(), r.token.Pool(), in.Attempts)
	if err != nil {
		return reply{}, err
	}
	return plain(out)
}

// poolInfo lets a worker, which was given nothing but a token, find out whose it is.
func (s *Server) poolInfo(r *request) (reply, error) {
	id := r.token.Pool()
	if id == messages.LocalPool {
		return plain(wire.PoolInfo{ID: id, Name: id, Version: s.version, Time: time.Now()})
	}
	if strings.HasPrefix(id, "kcfg-") {
		c, err := s.db.K8sConfig(r.Context(), id)
		if err != nil {
			return reply{}, err
		}
		return plain(wire.PoolInfo{ID: c.ID, Name: c.Name, Organization: c.Organization, Version: s.version})
	}
	p, err := s.db.Pool(r.Context(), id)
	if err != nil {
		return reply{}, err
	}
	return plain(wire.PoolInfo{ID: p.ID, Name: p.Name, Organization: p.Organization, Version: s.version, Time: time.Now()})
}

func (s *Server) claim(r *request) (reply, error) {
	var in wire.ClaimRequest
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	for _, f := range []struct{ name, value string }{{"task_id", in.TaskID}, {"worker", in.Worker}, {"nonce", in.Nonce}} {
		if f.value == "" {
			return reply{}, invalid("field %s is missing", f.name)
		}
	}
	out, err := s.db.Claim(r.Context(), r.token.Pool(), in)
	if err != nil {
		return reply{}, err
	}
	return plain(out)
}

func (s *Server) attemptStatus(r *request) (reply, error) {
	of := r.attempt.Run
	asked, force := of.StopAsked(r.attempt.ID)
	return plain(wire.AttemptStatus{Open: of.TakesResult(r.attempt.ID), Cancel: asked, Force: force})
}

// toOpen refuses a call of an attempt whose result would not count any more. Its token is good for longer, to deliver what is left,
// but whoever finds it then must not read secrets with it, or a state that others have written since.
func toOpen(h handler) handler {
	return func(r *request) (reply, error) {
		if a := r.attempt; !a.Run.TakesResult(a.ID) {
			return reply{}, &postgres.Error{Code: messages.CodeAttemptClosed, Message: fmt.Sprintf("attempt %s is closed: it is given nothing any more", a.ID)}
		}
		return h(r)
	}
}

func (s *Server) attemptInputs(r *request) (reply, error) {
	in, err := s.db.Inputs(r.Context(), r.attempt)
	if err != nil {
		return reply{}, err
	}
	return plain(in)
}

func (s *Server) attemptConfiguration(r *request) (reply, error) {
	return s.giveBlob(r, r.attempt.Run.ConfigurationVersionID, postgres.BlobConfiguration)
}

// attemptState gives the workspace's current state. Should it have moved since the claim, the start tells.
func (s *Server) attemptState(r *request) (reply, error) {
	sv, err := s.db.CurrentStateVersion(r.Context(), r.attempt.Run.WorkspaceID)
	if err != nil {
		return reply{}, err
	}
	b, err := s.db.State(r.Context(), sv.ID)
	return s.keepWhileGiven(r, "state", b, err)
}

func (s *Server) putState(r *request) (reply, error) {
	ref, err := s.db.PutState(r.Context(), r.attempt, postgres.Upload{
		Body: r.Body, Size: r.ContentLength, Check: func(state io.Reader) error { return checkMD5(state, r.Header.Get(wire.HeaderStateMD5)) },
	})
	if err != nil {
		return reply{}, err
	}
	return plain(ref)
}

// checkMD5 compares the body with a Content-MD5 header in base64 (the standard) or hex (TFE's habit).
func checkMD5(body io.Reader, header string) error {
	if header == "" {
		return nil
	}
	hash := md5.New() //nolint:gosec // see the import
	if _, err := io.Copy(hash, body); err != nil {
		return err
	}
	sum := hash.Sum(nil)
	if header == base64.StdEncoding.EncodeToString(sum) || strings.EqualFold(header, hex.EncodeToString(sum)) {
		return nil
	}
	return invalid("the body's MD5 is not the one of its header %s: %q; send it again", wire.HeaderStateMD5, header)
}

func (s *Server) attemptPlan(r *request) (reply, error) {
	return s.giveBlob(r, r.attempt.RunID, postgres.BlobPlan)
}

func (s *Server) giveBlob(r *request, owner string, kind postgres.BlobKind) (reply, error) {
	b, err := s.db.Blob(r.Context(), owner, kind)
	return s.keepWhileGiven(r, string(kind), b, err)
}

// keepWhileGiven gives a runner what it needs before its start. While that is on its way, over a slow line for longer than a claim
// lasts, the claim is kept.
func (s *Server) keepWhileGiven(r *request, what string, b *postgres.Blob, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	keep := &watched{Reader: b, every: s.db.Timing().StartWithin / 6, since: time.Now(), moved: func() {
		if err := s.db.KeepClaim(r.Context(), r.attempt, fmt.Sprintf("its runner is downloading the %s, %d bytes", what, b.Size)); err != nil {
			s.log.WarnContext(r.Context(), "the claim of a runner that is still downloading was not kept", "attempt", r.attempt.ID, "error", err)
		}
	}}
	return reply{stream: keep, size: b.Size, kind: kindBytes}, nil
}

// watched is a reader that says now and then that it is being read.
type watched struct {
	io.Reader
	every time.Duration
	since time.Time // when it said so
	moved func()
}

func (w *watched) Read(p []byte) (int, error) {
	if time.Since(w.since) >= w.every {
		w.since = time.Now()
		w.moved()
	}
	return w.Reader.Read(p)
}

func (s *Server) putPlan(kind postgres.BlobKind) handler {
	return func(r *request) (reply, error) {
		if r.ContentLength == 0 {
			return reply{}, invalid("the body is empty: it must be the %s", kind)
		}
		return reply{}, s.db.PutPlan(r.Context(), r.attempt, kind, postgres.Upload{Body: r.Body, Size: r.ContentLength})
	}
}

func (s *Server) startAttempt(r *request) (reply, error) {
	var in wire.StartRequest
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Nonce == "" {
		return reply{}, invalid("field nonce is missing")
	}
	out, err := s.db.Start(r.Context(), r.attempt, in)
	if err != nil {
		return reply{}, err
	}
	return plain(out)
}

func (s *Server) putResult(r *request) (reply, error) {
	var in wire.Result
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if !slices.Contains([]wire.Outcome{wire.OutcomeSucceeded, wire.OutcomeFailed, wire.OutcomeCanceled, wire.OutcomeLost}, in.Outcome) {
		return reply{}, invalid("field outcome: %q is not one of succeeded, failed, canceled, lost", in.Outcome)
	}
	out, err := s.db.PutResult(r.Context(), r.attempt, in)
	if err != nil {
		return reply{}, err
	}
	return plain(out)
}

func (s *Server) renewToken(r *request) (reply, error) {
	until, err := s.db.RenewToken(r.Context(), r.attempt, r.bearer)
	if err != nil {
		return reply{}, err
	}
	return plain(tokenAnswer{ExpiresAt: until})
}
