package browser_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// What terraform login opens leads a real browser, under the page's own policy, to the program that waits.
func TestTheLoginOfTerraformLeadsToItsProgram(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, err := s.db.CreateUser(t.Context(), postgres.NewUser{Username: "ann", Password: "correct horse battery"})
	must(t, err)
	waits, came := waitingProgram(t)
	page := "/app/~login/terraform?" + url.Values{
		"client_id": {"terraform-cli"}, "response_type": {"code"}, "code_challenge": {"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},
		"code_challenge_method": {"S256"}, "redirect_uri": {waits}, "state": {"x y&z"},
	}.Encode()
	s.do(chromedp.Navigate(s.server.URL + page))
	s.until(`location.pathname === "/app/login"`)
	s.do(chromedp.SendKeys(chromedp.CSS("#username"), "ann"), chromedp.SendKeys(chromedp.CSS("#password"), "correct horse battery\r"))
	s.shows("h1", "Log in Terraform?")
	s.picture("authorize")
	s.click("button.primary")
	s.until(fmt.Sprintf(`location.href.startsWith(%q)`, waits))
	got := <-came
	if got.Get("state") != "x y&z" || len(got.Get("code")) < 40 {
		t.Errorf("got %v, want a code and the state", got)
	}
	s.do(chromedp.Navigate(s.server.URL + "/app/settings/tokens"))
	s.shows("h1", "Tokens of ann")
	s.picture("tokens")
}

// A page that keeps itself up to date does not stay as it was, or become empty, when the session ends.
func TestTheLoginComesWhenTheSessionIsOver(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.logIn("/app/")
	s.do(chromedp.Evaluate[chromedp.Void](`fetch("/app/logout", {method: "POST", redirect: "manual", body: new URLSearchParams({csrf: document.querySelector(".bar [name=csrf]").value})}); undefined`))
	s.newRun("something changes", run.Options{})
	s.until(`location.pathname === "/app/login"`)
	s.logIn("/app/~workspaces")
	s.do(chromedp.Evaluate[chromedp.Void](`fetch("/app/logout", {method: "POST", redirect: "manual", body: new URLSearchParams({csrf: document.querySelector(".bar [name=csrf]").value})}).then(() => { const name = document.querySelector("#name"); name.value = "net"; name.dispatchEvent(new Event("change", {bubbles: true})) }); undefined`))
	s.until(`location.pathname === "/app/login"`)
}

// waitingProgram listens as terraform does, and gives what the browser brings.
func waitingProgram(t *testing.T) (address string, came <-chan url.Values) {
	t.Helper()
	var ln net.Listener
	err := fmt.Errorf("no port")
	for port := postgres.LoginPortMin; err != nil && port <= postgres.LoginPortMax; port++ {
		ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
	must(t, err)
	brought := make(chan url.Values, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			brought <- r.URL.Query()
		}
		_, _ = fmt.Fprintln(w, "done")
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln) // ends by Close
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return fmt.Sprintf("http://localhost:%d/login", ln.Addr().(*net.TCPAddr).Port), brought
}
