package dashboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"time"

	"gantry.example/services/postgres"
)

// pages renders the templates and has the files they refer to. Safe for concurrent use.
type pages struct {
	templates *template.Template
	version   string // of the assets, in their addresses: browsers may keep them for ever
}

func newPages() (*pages, error) {
	sum := sha256.New()
	err := fs.WalkDir(assets, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := assets.ReadFile(name)
		sum.Write(b)
		return err
	})
	if err != nil {
		return nil, err
	}
	p := &pages{version: hex.EncodeToString(sum.Sum(nil))[:12]}
	p.templates, err = template.New("").Funcs(template.FuncMap{
		"asset": func(name string) string { return pathAssets + name + "?v=" + p.version },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"bytes": size, "bytesU": func(n uint64) string { return size(int64(n)) }, "bytes64": func(n int) string { return size(int64(n)) },
		"ago":   func(t time.Time) string { return ago(time.Since(t)) },
		"clock": func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") },
	}).ParseFS(templates, "templates/*.html")
	return p, err
}

// render makes a page or a part of one.
func (p *pages) render(name string, view any) ([]byte, error) {
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name, view); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// write sends a page, or nothing at all when it cannot be made.
func (p *pages) write(w http.ResponseWriter, status int, name string, view any) error {
	b, err := p.render(name, view)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b)
	return nil
}

// asset serves a script, style or picture.
func (p *pages) asset(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	kind, ok := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}[path.Ext(name)]
	b, err := assets.ReadFile("assets/" + name)
	if !ok || err != nil {
		return missing("There is no file %s.", name)
	}
	w.Header().Set("Content-Type", kind)
	if r.URL.Query().Get("v") == p.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(b)
	return nil
}

// frame is what every page has around its content.
type frame struct {
	Title string
	// CSRF is set where somebody is logged in: the token that every form of theirs carries.
	CSRF  string
	User  string // who that is
	Nav   []tab
	Trail []link // from the list of workspaces down to this page
	Tabs  []tab  // the pages beside this one
	Live  string // address of the stream that tells when the page is to be read again, "" where nothing changes by itself
}

type link struct{ Text, Address string }

// tab is a link among others of which one is the page that is shown.
type tab struct {
	link
	Here bool
}

// viewer is who looks at something of an organization, and what they may do there.
type viewer struct {
	Role  postgres.Role
	Actor string
	CSRF  string
}

// May reports whether the viewer's role covers the one named.
func (v viewer) May(role string) bool { return v.Role.Covers(postgres.Role(role)) }

func (s *Server) frame(session *postgres.Session, title string, trail ...link) frame {
	f := frame{Title: title, Trail: trail}
	if session == nil || session.CSRF == "" {
		return f
	}
	f.CSRF, f.User = session.CSRF, session.Holder.Actor()
	f.Nav = []tab{
		{link: link{"Overview", pathHome}}, {link: link{"Workspaces", pathWorkspaces}}, {link: link{"Agents", pathPools}}, {link: link{"Streams", pathStreams}},
		{link: link{"Audit", pathAudit}},
	}
	if session.Kubernetes {
		f.Nav = slices.Insert(f.Nav, 3, tab{link: link{"Kubernetes", pathKubernetes}})
	}
	return f
}

// at marks the entry of the navigation that the page belongs to.
func (f frame) at(address string) frame {
	for i := range f.Nav {
		f.Nav[i].Here = f.Nav[i].Address == address
	}
	return f
}
