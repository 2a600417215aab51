package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gantry.example/client"
)

func (a *app) loginCommand() *cobra.Command {
	return a.connects(a.outputs(&cobra.Command{
		Use: "login [ADDRESS]", Short: "Check a token and keep it for later commands", Args: a.addressArg,
		Long: "Asks for a token (or takes the one in --token-file, or the first line of stdin where that is no terminal), checks it\n" +
			"with the server and keeps it in $XDG_CONFIG_HOME/gantry/credentials.json. It is used where GANTRY_TOKEN is not set; the\n" +
			"server of the last login is used where GANTRY_ADDRESS is not set and no server of this machine is found.\n\n" +
			"For an https address the token is also written to Terraform's own credentials (~/.terraform.d/credentials.tfrc.json),\n" +
			"because TF_TOKEN_… cannot name a host with a port.",
		Example: "  gantry login https://gantry.example.com\n" +
			"  gantry login https://127.0.0.1:8443 --ca-file /var/lib/gantry/ca.pem --token-file ci-token",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.login(cmd.Context()) },
	}))
}

func (a *app) logoutCommand() *cobra.Command {
	return a.connects(a.outputs(&cobra.Command{
		Use: "logout [ADDRESS]", Short: "Forget the token that login kept; it stays good until it is revoked", Args: a.addressArg,
		RunE: func(*cobra.Command, []string) error { return a.logout() },
	}))
}

// addressArg takes an optional address, which is the same as --address.
func (a *app) addressArg(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return usage(cmd, "unexpected argument %q: name one server", args[1])
	case len(args) == 1 && a.flags.address != "":
		return usage(cmd, "ADDRESS and --address exclude each other")
	case len(args) == 1:
		a.flags.address = args[0]
	}
	return nil
}

// loginView is what login and logout did, as -o json shows it.
type loginView struct {
	Address   string `json:"address"`
	Username  string `json:"username,omitempty"`
	File      string `json:"file,omitempty"`
	Terraform string `json:"terraform_file,omitempty"`
}

func (a *app) login(ctx context.Context) error {
	found, _, err := a.locate()
	if err != nil {
		return err
	}
	a.connection = found
	if found.tokenFrom = a.flags.tokenFile; found.tokenFrom != "" {
		found.token, err = readSetting(a.flags.tokenFile, "--token-file")
	} else {
		found.tokenFrom = "this login"
		found.token, err = a.askToken(ctx, found.address)
	}
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{Address: found.address, Token: found.token, CACert: found.ca})
	if err != nil {
		return err
	}
	defer c.Close()
	user, err := c.Account(ctx)
	var refusal *client.Error
	if errors.As(err, &refusal) && (refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusForbidden) {
		return fmt.Errorf("the server at %s does not accept the token (%s). Nothing was stored. Create one with gantry tokens new where you "+
			"have access, or take the one in the server's %s", found.address, refusal.Detail, adminTokenFile)
	}
	if err != nil {
		return err
	}
	return a.store(found, user)
}

func (a *app) store(found *connection, user client.User) error {
	kept := serverCredential{Token: found.token}
	if found.caFile != "" {
		var err error
		if kept.CAFile, err = filepath.Abs(found.caFile); err != nil {
			return err
		}
	}
	view := loginView{Address: found.address, Username: user.Username}
	var err error
	if view.File, err = a.remember(found.address, kept); err != nil {
		return err
	}
	host := terraformHost(found.address)
	if host != "" {
		if view.Terraform, err = a.setTerraformToken(host, found.token); err != nil {
			return fmt.Errorf("the token was stored for gantry, but not for terraform: %w", err)
		}
	}
	return a.show(view, func(t *table) {
		t.line("Logged in to %s as %s. The token is in %s", found.address, user.Username, view.File)
		if host != "" {
			t.line("Terraform finds it for %s in %s", host, view.Terraform)
		} else {
			t.line("Terraform insists on HTTPS: to use it with this server too, log in at the server's https address.")
		}
	})
}

// askToken reads a token without showing it.
func (a *app) askToken(ctx context.Context, address string) (string, error) {
	secret, err := a.askSecret(ctx, "Token for "+address)
	if err == nil && secret == "" {
		err = errors.New("no token was given: paste one, or name a file with it by --token-file")
	}
	return secret, err
}

// askSecret reads a line without showing it, or the next line of stdin where that is no terminal. An empty one is no error.
func (a *app) askSecret(ctx context.Context, what string) (string, error) {
	if f, ok := a.env.Stdin.(*os.File); ok && a.env.StdinTerminal {
		fmt.Fprintf(a.env.Stderr, "%s (it is not shown): ", what)
		secret, err := readHidden(ctx, int(f.Fd()))
		fmt.Fprintln(a.env.Stderr)
		return string(secret), err
	}
	select {
	case text := <-a.input.next():
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// readHidden reads a line from a terminal without echo, and restores the terminal when the context ends before.
func readHidden(ctx context.Context, fd int) ([]byte, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() { // stands in the read until the program ends if nothing is typed
		text, err := term.ReadPassword(fd)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}

func (a *app) logout() error {
	found, _, err := a.locate()
	if err != nil {
		return err
	}
	known, err := a.forget(found.address)
	if err != nil {
		return err
	}
	view := loginView{Address: found.address}
	if host := terraformHost(found.address); host != "" {
		if view.Terraform, err = a.setTerraformToken(host, ""); err != nil {
			return err
		}
	}
	return a.show(view, func(t *table) {
		if !known && view.Terraform == "" {
			t.line("No token was stored for %s.", found.address)
			return
		}
		t.line("Forgot the token for %s. It stays good until gantry tokens revoke.", found.address)
	})
}
