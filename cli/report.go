package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gantry.example/client"
)

// report shows the error of a command, if any, and returns the exit code.
func (a *app) report(err error, interrupted bool) int {
	if err == nil {
		return ExitOK
	}
	var exit *Exit
	code, text := ExitFailure, ""
	switch {
	case errors.As(err, &exit):
		code, text = exit.Code, exit.Message
	case interrupted:
		code, text = ExitCanceled, "interrupted"
	case client.Unreachable(err) && a.connection != nil:
		code, text = ExitUnreachable, a.unreachable(err)
	default:
		text = a.explain(err)
	}
	if text != "" {
		label := "Error:"
		if a.env.StderrTerminal && a.colors() {
			label = "\x1b[1;31mError:\x1b[0m"
		}
		fmt.Fprintln(a.env.Stderr, label, strings.TrimRight(text, "\n"))
	}
	return code
}

// unreachable says why there is no answer and what to do about it.
func (a *app) unreachable(err error) string {
	why := err.Error()
	var failed *url.Error
	if errors.As(err, &failed) {
		why = failed.Err.Error()
	}
	next := "Check GANTRY_ADDRESS, or start the server with gantry server"
	if strings.Contains(why, "certificate") {
		next = "If the server has its own certificate authority, name its certificate with --ca-file or GANTRY_CA_FILE"
	}
	return fmt.Sprintf("no answer from the server at %s: %s. %s", a.connection.address, why, next)
}

// explain turns a refusal into what happened and what to do next.
func (a *app) explain(err error) string {
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Status == http.StatusUnauthorized && a.connection != nil {
		return fmt.Sprintf("the server at %s does not accept the token from %s (%s). Set GANTRY_TOKEN or GANTRY_TOKEN_FILE to a valid one, or use gantry login",
			a.connection.address, a.connection.tokenFrom, refusal.Detail)
	}
	return err.Error()
}

// reason is why the server refused, without the code that programs go by; other errors as they are.
func reason(err error) string {
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Detail != "" {
		return refusal.Detail
	}
	return err.Error()
}

// missing says, for an error of a lookup, which object is not there and what to do; other errors stay as they are.
func missing(err error, format string, args ...any) error {
	if client.NotFound(err) {
		return &Exit{Code: ExitFailure, Message: fmt.Sprintf(format, args...)}
	}
	return err
}
