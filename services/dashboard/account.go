package dashboard

import (
	"errors"
	"net"
	"net/http"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// accountView is what one looks after oneself: tokens and the password.
type accountView struct {
	frame
	Tokens  []postgres.Token
	Secret  string // of the token that was just made: shown this one time
	Own     bool   // the holder is a user
	Problem string
	Done    string
	Lives   []lifeChoice
}

// lifeChoice is how long a new token may be good.
type lifeChoice struct{ Value, Text string }

func lives() []lifeChoice {
	return []lifeChoice{{"720h", "30 days"}, {"2160h", "90 days"}, {"8760h", "a year"}, {"", "until it is revoked"}}
}

func (s *Server) account(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	return s.showAccount(w, r, session, http.StatusOK, accountView{})
}

func (s *Server) showAccount(w http.ResponseWriter, r *http.Request, session postgres.Session, status int, v accountView) error {
	all, err := s.cfg.DB.Tokens(r.Context(), session.Holder)
	if err != nil {
		return err
	}
	for _, t := range all { // a user's own; who logged in with an admin token has the admin tokens
		if t.Kind == session.Holder.Kind && t.UserID == session.Holder.UserID {
			v.Tokens = append(v.Tokens, t)
		}
	}
	v.frame, v.Own, v.Lives = s.frame(&session, "Tokens"), session.Holder.UserID != "", lives()
	return s.pages.write(w, status, "account.html", v)
}

// changeTokens makes a token, or revokes one.
func (s *Server) changeTokens(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	if id := r.PostForm.Get("revoke"); id != "" {
		if err := s.cfg.DB.RevokeToken(r.Context(), session.Holder, id); err != nil && !notFound(err) {
			return err
		}
		http.Redirect(w, r, pathAccount, http.StatusSeeOther)
		return nil
	}
	create := postgres.NewToken{
		Description: r.PostForm.Get("description"), UserID: session.Holder.UserID, CreatedBy: session.Holder.Actor(),
	}
	if text := r.PostForm.Get("life"); text != "" {
		life, err := time.ParseDuration(text)
		if err != nil {
			return &problem{status: http.StatusBadRequest, title: "Not understood", text: "The form did not say how long the token is to be good. Go back and send it again."}
		}
		create.Life = life
	}
	_, secret, err := s.cfg.DB.CreateToken(r.Context(), create)
	if text, ok := mistake(err); ok {
		return s.showAccount(w, r, session, http.StatusUnprocessableEntity, accountView{Problem: text})
	}
	if err != nil {
		return err
	}
	return s.showAccount(w, r, session, http.StatusOK, accountView{Secret: secret})
}

// changePassword asks for the password there is, and ends all other sessions.
func (s *Server) changePassword(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	again := func(text string) error {
		return s.showAccount(w, r, session, http.StatusUnprocessableEntity, accountView{Problem: text})
	}
	if session.Holder.UserID == "" {
		return again("You logged in with an admin token, which has no password.")
	}
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	if _, err := s.cfg.DB.LogIn(r.Context(), session.Holder.Username, r.PostForm.Get("current"), from); unauthorized(err) {
		return again("The present password is wrong.")
	} else if text, ok := mistake(err); ok {
		return again(text)
	} else if err != nil {
		return err
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return errNoSession
	}
	err = s.cfg.DB.SetPassword(r.Context(), session.Holder.UserID, r.PostForm.Get("password"), cookie.Value)
	if text, ok := mistake(err); ok {
		return again(text)
	}
	if err != nil {
		return err
	}
	return s.showAccount(w, r, session, http.StatusOK, accountView{Done: "The password is changed, and all other sessions are over."})
}

// mistake is what the person can mend.
func mistake(err error) (string, bool) {
	var coded *postgres.Error
	if errors.As(err, &coded) && (coded.Code == messages.CodeInvalid || coded.Code == messages.CodeTooManyRequests) {
		return sentence(coded.Message), true
	}
	return "", false
}
