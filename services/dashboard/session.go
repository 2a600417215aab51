package dashboard

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

const (
	cookieName  = "gantry_session"
	sessionLife = 12 * time.Hour
	maxForm     = 16 << 10 // bytes of a posted form
)

// errNoSession is for a browser without a cookie.
var errNoSession = &postgres.Error{Code: messages.CodeUnauthorized, Message: "not logged in"}

// session returns the session of the request's cookie. Errors: unauthorized.
func (s *Server) session(r *http.Request) (postgres.Session, error) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return postgres.Session{}, errNoSession
	}
	return s.cfg.DB.Session(r.Context(), c.Value)
}

func unauthorized(err error) bool {
	var coded *postgres.Error
	return errors.As(err, &coded) && coded.Code == messages.CodeUnauthorized
}

type loginView struct {
	frame
	Next    string
	Problem string
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) error {
	next := localPage(r.URL.Query().Get("next"))
	if _, err := s.session(r); err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	return s.showLogin(w, http.StatusOK, next, "")
}

func (s *Server) showLogin(w http.ResponseWriter, status int, next, problem string) error {
	return s.pages.write(w, status, "login.html", loginView{frame: s.frame(nil, "Log in"), Next: next, Problem: problem})
}

// login starts a session for the posted name and password, or the posted token. What a wrong token is compared with is a hash
// in an index, so how long the answer takes tells nothing about the tokens there are. Posts of other sites do not come here,
// see Server.origin.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &problem{status: http.StatusBadRequest, title: "Not understood", text: "The login form did not arrive whole. Go back and send it again."}
	}
	next := localPage(r.PostForm.Get("next"))
	holder, refused, err := s.holder(r)
	if err != nil {
		return err
	}
	if refused != nil {
		return s.showLogin(w, refused.status, next, refused.text)
	}
	if err := s.endSession(r); err != nil {
		return err
	}
	secret, _, err := s.cfg.DB.CreateSession(r.Context(), holder, sessionLife)
	if err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(secret, int(sessionLife/time.Second)))
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// holder finds who logs in by the posted form, or why nobody does.
func (s *Server) holder(r *http.Request) (postgres.Token, *problem, error) {
	refuse := func(status int, text string) (postgres.Token, *problem, error) {
		return postgres.Token{}, &problem{status: status, text: text}, nil
	}
	if name := strings.TrimSpace(r.PostForm.Get("username")); name != "" {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		holder, err := s.cfg.DB.LogIn(r.Context(), name, r.PostForm.Get("password"), from)
		var coded *postgres.Error
		switch {
		case unauthorized(err):
			return refuse(http.StatusUnauthorized, "The name or the password is wrong.")
		case errors.As(err, &coded) && coded.Code == messages.CodeTooManyRequests:
			return refuse(http.StatusTooManyRequests, sentence(coded.Message))
		}
		return holder, nil, err
	}
	token := strings.TrimSpace(r.PostForm.Get("token"))
	if token == "" {
		return refuse(http.StatusUnauthorized, "Say your name and password, or paste a token to log in.")
	}
	holder, err := s.cfg.DB.Token(r.Context(), token)
	switch {
	case unauthorized(err):
		return refuse(http.StatusUnauthorized, "This token is unknown, expired or revoked. Check that it was copied whole.")
	case err != nil:
		return holder, nil, err
	case holder.OrganizationID != "":
		return refuse(http.StatusForbidden, "This is the token of an organization or a team: it is for programs, and cannot log in. Use your own.")
	case holder.Kind == postgres.TokenPool:
		return refuse(http.StatusForbidden, "This is the token of a worker ("+string(holder.Kind)+" token): it takes tasks, and cannot log in. Use the token of a person.")
	}
	return holder, nil, nil
}

// logout ends the session whose own token was posted.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	session, err := s.session(r)
	if err != nil && !unauthorized(err) {
		return err
	}
	if err == nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := checkCSRF(r, session); err != nil {
			return err
		}
		if err := s.endSession(r); err != nil {
			return err
		}
	}
	http.SetCookie(w, s.cookie("", -1))
	http.Redirect(w, r, pathLogin, http.StatusSeeOther)
	return nil
}

// checkCSRF refuses a form that no page of this session posted.
func checkCSRF(r *http.Request, session postgres.Session) error {
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("csrf")), []byte(session.CSRF)) == 1 {
		return nil
	}
	return &problem{status: http.StatusForbidden, title: "Refused", text: "This did not come from a page of this session, so nothing was done and you are still logged in. Go back, reload the page and try again."}
}

func (s *Server) endSession(r *http.Request) error {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil // there is none
	}
	return s.cfg.DB.EndSession(r.Context(), c.Value)
}

func (s *Server) cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: "/app", MaxAge: maxAge, HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
}

// localPage returns where to go after the login: next when it is one of our pages, else the home page.
func localPage(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || u.User != nil || strings.Contains(next, "\\") ||
		!strings.HasPrefix(u.Path, pathHome) || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") {
		return pathHome
	}
	if strings.HasPrefix(u.Path, pathLogin) || strings.HasPrefix(u.Path, pathLogout) {
		return pathHome
	}
	return u.RequestURI()
}
