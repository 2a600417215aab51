package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// Streams is what the pages show of NATS. Safe for concurrent use.
type Streams interface {
	// Health lists the streams with their readers, and whether there are more.
	Health(ctx context.Context) ([]bus.StreamHealth, bool, error)
	// ReadLeases lists the leases held in a pool, by exclusivity key.
	ReadLeases(ctx context.Context, pool string) (map[string]messages.Lease, error)
}

type streamsView struct {
	frame
	Site          bool
	Organizations []string
	Organization  string
	Workspace     string
	Pool          string
	Follow        string // address of the live stream
	Streams       []bus.StreamHealth
	More          bool
	Leases        []leaseRow
	Letters       []messages.DeadLetter
	Older         string
	Trouble       string // why the health is not shown
}

type leaseRow struct {
	messages.Lease
	Pool, Key string
	RunAt     string
}

// streams shows the live statuses of an organization and, to site admins, what goes on in NATS.
func (s *Server) streams(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	in := r.URL.Query()
	v := streamsView{
		frame: s.frame(&session, "Streams").at(pathStreams), Site: session.Holder.Site(),
		Organization: in.Get("organization"), Workspace: in.Get("workspace"), Pool: in.Get("pool"),
	}
	all, _, err := s.cfg.DB.Organizations(r.Context(), session.Holder, postgres.Page{Size: listed})
	if err != nil {
		return err
	}
	for _, o := range all {
		v.Organizations = append(v.Organizations, o.Name)
	}
	if len(all) > 0 {
		v.Organization = cmp.Or(v.Organization, all[0].Name)
		v.Follow = pathEvents + "?" + url.Values{"organization": {v.Organization}, "workspace": {v.Workspace}, "pool": {v.Pool}}.Encode()
	}
	if v.Site {
		if err := s.natsHealth(r, session, &v); err != nil {
			return err
		}
	}
	return s.pages.write(w, http.StatusOK, "streams.html", v)
}

func (s *Server) natsHealth(r *http.Request, session postgres.Session, v *streamsView) error {
	var err error
	if v.Streams, v.More, err = s.cfg.Streams.Health(r.Context()); err != nil {
		s.cfg.Log.Warn("streams could not be listed", "error", err)
		v.Trouble = "NATS did not answer: " + sentence(err.Error())
		return nil
	}
	slices.SortFunc(v.Streams, func(a, b bus.StreamHealth) int { return cmp.Compare(a.Name, b.Name) })
	pools, err := s.cfg.DB.PoolLoads(r.Context(), session.Holder)
	if err != nil {
		return err
	}
	for _, p := range pools {
		if err := s.leases(r.Context(), p.ID, p.Name, v); err != nil {
			return err
		}
	}
	after := uint64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		after, _ = strconv.ParseUint(text, 10, 64) // anything else begins at the first
	}
	if err := s.call(r, session, "GET", "/api/gantry/v1/dead-letters?limit="+strconv.Itoa(pageSize)+"&after="+strconv.FormatUint(after, 10), nil, &v.Letters); err != nil {
		return err
	}
	if n := len(v.Letters); n == pageSize {
		v.Older = pathStreams + "?after=" + strconv.FormatUint(v.Letters[n-1].ID, 10)
	}
	return nil
}

func (s *Server) leases(ctx context.Context, pool, name string, v *streamsView) error {
	held, err := s.cfg.Streams.ReadLeases(ctx, pool)
	if err != nil {
		return nil //nolint:nilerr // a pool in which nothing ran yet has no leases; the streams above say what is there
	}
	for key, l := range held {
		row := leaseRow{Lease: l, Pool: name, Key: key}
		of, err := s.cfg.DB.Run(ctx, l.RunID)
		if err == nil {
			var ws postgres.Workspace
			if ws, err = s.cfg.DB.Workspace(ctx, of.WorkspaceID); err == nil {
				row.RunAt = runAddress(ws, of.ID)
			}
		}
		if err != nil && !notFound(err) {
			return err
		}
		v.Leases = append(v.Leases, row)
	}
	slices.SortFunc(v.Leases, func(a, b leaseRow) int { return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Key, b.Key)) })
	return nil
}

// changeLetter replays or drops a dead letter.
func (s *Server) changeLetter(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	at := "/api/gantry/v1/dead-letters/"
	var err error
	if id := r.PostForm.Get("replay"); id != "" {
		err = s.call(r, session, "POST", at+escaped(id)+"/replay", nil, nil)
	} else {
		err = s.call(r, session, "DELETE", at+escaped(r.PostForm.Get("drop")), nil, nil)
	}
	if err != nil {
		return back(err, "Back to the streams", pathStreams)
	}
	http.Redirect(w, r, pathStreams+"#letters", http.StatusSeeOther)
	return nil
}

// events is the API's stream of statuses for the pages: a browser's EventSource sends a cookie, and no token.
func (s *Server) events(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // ends with the request
		look := time.NewTicker(heartbeatEvery)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				if _, err := s.session(r); err != nil {
					cancel() // logged out, perhaps in another tab
				}
			}
		}
	}()
	inside := r.Clone(ctx)
	inside.URL = &url.URL{Path: "/api/gantry/v1/events", RawQuery: r.URL.RawQuery}
	s.cfg.API(session.Holder).ServeHTTP(w, inside)
	return nil
}
