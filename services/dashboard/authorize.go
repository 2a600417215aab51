package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// authorizeView asks whether a program may have a token.
type authorizeView struct {
	frame
	Redirect, Challenge, State string
}

// maxState bounds what a program wants back unchanged, in bytes.
const maxState = 1024

// authorizePage is the page that "terraform login" opens. Nothing happens by looking at it.
func (s *Server) authorizePage(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	q := r.URL.Query()
	v := authorizeView{
		frame: s.frame(&session, "Log in Terraform"), Redirect: q.Get("redirect_uri"), Challenge: q.Get("code_challenge"), State: q.Get("state"),
	}
	wrong := ""
	switch {
	case q.Get("client_id") != postgres.LoginClient:
		wrong = "client_id"
	case q.Get("response_type") != "code":
		wrong = "response_type"
	case q.Get("code_challenge_method") != "S256" || v.Challenge == "":
		wrong = "code_challenge_method"
	case len(v.State) > maxState:
		wrong = "state"
	case postgres.CheckRedirect(v.Redirect) != nil:
		wrong = "redirect_uri"
	}
	if wrong != "" { // nowhere is a safe place to send the browser to
		return &problem{status: http.StatusBadRequest, title: "Not understood", text: "This is not an address that terraform login makes (" + wrong + "). Run terraform login again and open the address it shows."}
	}
	allowRedirect(w.Header(), v.Redirect)
	return s.pages.write(w, http.StatusOK, "authorize.html", v)
}

// allowRedirect lets the answer to the page's form lead to the program: browsers apply form-action to redirects too.
func allowRedirect(h http.Header, redirect string) {
	u, err := url.Parse(redirect)
	if err != nil {
		return
	}
	const own = "form-action 'self'"
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), own, own+" "+u.Scheme+"://"+u.Host, 1))
}

// authorize carries the answer to the program that waits on this computer.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, _ postgres.Session) error {
	redirect, answer := r.PostForm.Get("redirect_uri"), url.Values{"state": {r.PostForm.Get("state")}}
	if r.PostForm.Get("answer") == "allow" {
		cookie, err := r.Cookie(cookieName)
		if err != nil {
			return errNoSession
		}
		code, err := s.cfg.DB.CreateCode(r.Context(), cookie.Value, r.PostForm.Get("code_challenge"), redirect)
		var coded *postgres.Error
		if errors.As(err, &coded) && coded.Code == messages.CodeInvalid {
			return &problem{status: http.StatusBadRequest, title: "Not understood", text: "This is not what terraform login asks for. Run it again and open the address it shows."}
		}
		if err != nil {
			return err
		}
		answer.Set("code", code)
	} else {
		answer.Set("error", "access_denied")
		answer.Set("error_description", "the login was refused in the browser")
	}
	if err := postgres.CheckRedirect(redirect); err != nil {
		return &problem{status: http.StatusBadRequest, title: "Not understood", text: "This is not what terraform login asks for."}
	}
	http.Redirect(w, r, redirect+"?"+answer.Encode(), http.StatusSeeOther)
	return nil
}
