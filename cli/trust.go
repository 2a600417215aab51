package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/internal/pki"
	"gantry.example/internal/truststore"
)

// httpsAddressFile is where the server of this machine says how terraform reaches it.
const httpsAddressFile = "https-address"

// trustFlags are those of gantry trust.
type trustFlags struct {
	fingerprint                string
	print, show, remove, login bool
}

func (a *app) trustCommand() *cobra.Command {
	var f trustFlags
	cmd := a.connects(&cobra.Command{
		Use: "trust [ADDRESS]", Short: "Make this machine trust the certificate of a server's own authority", Args: a.addressArg,
		Long: "Installs the authority of the server's certificate in the certificate store of the operating system: as root in that of a\n" +
			"Linux machine, on macOS and Windows in that of the user (as administrator: of the machine). On Linux without root it\n" +
			"changes nothing and prints the line that makes terraform and gantry in this shell trust it:\n\n" +
			"  eval \"$(gantry trust)\"\n\n" +
			"The authority is the one in --ca-file, or of the server of this machine, or the one that the server at ADDRESS shows. The\n" +
			"last is worth nothing until you compared its fingerprint with the one that the server's administrator sees in\n" +
			"gantry trust --show: it is asked for, or taken from --fingerprint.",
		Example: "  sudo gantry trust --data-dir /var/lib/gantry\n" +
			"  gantry trust https://gantry.example.com:8443 --fingerprint 3F:9A:…\n" +
			"  gantry trust https://gantry.example.com:8443 --remove",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return a.trusts(cmd.Context(), f)
		},
	})
	cmd.Flags().StringVar(&f.fingerprint, "fingerprint", "", "SHA-256 of the certificate of the authority, as hexadecimal digits")
	cmd.Flags().BoolVar(&f.print, "print", false, "change nothing and print the line for the shell, also as root (Linux)")
	cmd.Flags().BoolVar(&f.show, "show", false, "change nothing and print the fingerprint")
	cmd.Flags().BoolVar(&f.remove, "remove", false, "trust it no more")
	cmd.Flags().BoolVar(&f.login, "login", false, "then log in for gantry and terraform; on the server's own machine with its admin token")
	return cmd
}

func (f trustFlags) check(cmd *cobra.Command) error {
	chosen := 0
	for _, on := range []bool{f.print, f.show, f.remove} {
		if on {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return usage(cmd, "--print, --show and --remove exclude each other")
	case f.login && (f.show || f.remove):
		return usage(cmd, "--login goes with neither --show nor --remove")
	case f.print && runtime.GOOS != "linux":
		return usage(cmd, "--print is for Linux: terraform ignores SSL_CERT_FILE on macOS and Windows, and asks the system's store only")
	}
	return nil
}

// authority is whom to trust, and for which server.
type authority struct {
	address string // of the server, https; empty if it is not known
	file    string // that has the certificate
	cert    *x509.Certificate
	token   string // file of the administrator's token, where this user may read it
	public  bool   // the system trusts the server as it is; there is no file then
}

// trusts carries the command out. Stdout gets nothing but what a shell may evaluate (or what --show is for).
func (a *app) trusts(ctx context.Context, f trustFlags) error {
	found, err := a.findAuthority(ctx, f)
	if err != nil {
		return err
	}
	if err := f.match(found); err != nil {
		return err
	}
	switch {
	case found.public && f.remove, found.public && f.show:
		return fmt.Errorf("the certificate of %s is of an authority that this system trusts anyway, not of the server's own", found.address)
	case found.public:
		a.tell("The certificate of %s is of an authority that this system trusts already: nothing to do.", found.address)
	case f.show:
		fmt.Fprintf(a.env.Stdout, "%s\n", pki.Fingerprint(found.cert))
		a.tell("That is the SHA-256 of %q, in %s", found.cert.Subject.CommonName, found.file)
		return nil
	case f.remove:
		return a.distrust(ctx, found)
	default:
		err = a.install(ctx, f, found)
	}
	if err != nil || !f.login {
		a.sayNext(err, found)
		return err
	}
	return a.loginTrusted(ctx, found)
}

// tell says something to people.
func (a *app) tell(format string, args ...any) { fmt.Fprintf(a.env.Stderr, format+"\n", args...) }

func (a *app) sayNext(err error, of authority) {
	if host := terraformHost(of.address); err == nil && host != "" {
		a.tell("Now terraform login %s, or gantry login %s, if you have not yet.", host, of.address)
	}
}

// install makes the system trust it, or says how where that is not for this user.
func (a *app) install(ctx context.Context, f trustFlags, of authority) error {
	system := a.system()
	change, err := system.Add(of.named())
	if f.print || system.OS == "linux" && (!system.Admin || errors.Is(err, truststore.ErrUnknown)) {
		fmt.Fprintf(a.env.Stdout, "export SSL_CERT_FILE=%s\n", shellWord(of.file))
		if !f.print && err == nil {
			a.tell("The line is for this shell. For the whole machine:  sudo %s trust --ca-file %s", a.program(), shellWord(of.file))
		} else if err != nil {
			a.tell("The line is for this shell: %v.", err)
		}
		return nil
	}
	if err == nil && !change.Done() {
		err = change.Apply(ctx)
	}
	if err != nil {
		return fmt.Errorf("the authority could not be added to the system's store: %w", err)
	}
	a.tell("This system trusts %q now (SHA-256 %s).", of.cert.Subject.CommonName, pki.Fingerprint(of.cert))
	return nil
}

func (a *app) distrust(ctx context.Context, of authority) error {
	system := a.system()
	change, err := system.Remove(of.named())
	if errors.Is(err, truststore.ErrUnknown) {
		err = nil // it was never added
	} else if system.OS == "linux" && change.Done() {
		a.tell("%q is not in the system's store.", of.cert.Subject.CommonName)
	} else if system.OS == "linux" && !system.Admin {
		return fmt.Errorf("only root can take it out of the system's store: sudo %s trust --remove --ca-file %s", a.program(), shellWord(of.file))
	} else if err = change.Apply(ctx); err == nil {
		a.tell("This system does not trust %q any more.", of.cert.Subject.CommonName)
	}
	if err != nil {
		return fmt.Errorf("the authority could not be taken out of the system's store: %w", err)
	}
	kept, err := a.keptAuthority(of.address)
	if err != nil || of.address == "" {
		return err
	}
	if err := os.Remove(kept); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (a *app) system() truststore.System {
	return truststore.System{OS: runtime.GOOS, Admin: os.Geteuid() == 0, Home: a.env.Getenv("HOME")}
}

// program is how this program was started, for commands to copy.
func (a *app) program() string {
	if self, err := os.Executable(); err == nil {
		return shellWord(self)
	}
	return "gantry"
}

// named is the authority as the system's store has it. Its fingerprint in the name keeps those of several servers apart.
func (of authority) named() truststore.Authority {
	short := strings.ToLower(strings.ReplaceAll(pki.Fingerprint(of.cert)[:23], ":", ""))
	return truststore.Authority{File: of.file, Name: "gantry-" + short, Cert: of.cert}
}

// shellWord is the text as one word of a POSIX shell.
func shellWord(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// match refuses an authority that is not the one of --fingerprint, which may be written as people do.
func (f trustFlags) match(of authority) error {
	given := strings.NewReplacer(":", "", " ", "", "SHA256", "", "=", "", "-", "").Replace(strings.ToUpper(f.fingerprint))
	if given == "" || of.cert == nil || given == strings.ReplaceAll(pki.Fingerprint(of.cert), ":", "") {
		return nil
	}
	return fmt.Errorf("the authority in %s has another fingerprint than --fingerprint: %s. Nothing was changed. Either the number is of another "+
		"server, or somebody stands between you and it", of.file, pki.Fingerprint(of.cert))
}

// loginTrusted logs in at the server that is trusted now.
func (a *app) loginTrusted(ctx context.Context, of authority) error {
	if of.address == "" {
		return errors.New("--login: it is not known which server this is the authority of: give its https address, or start the server of this machine")
	}
	a.flags.address = of.address
	if a.flags.caFile == "" {
		a.flags.caFile = of.file
	}
	if a.flags.tokenFile == "" {
		a.flags.tokenFile = of.token
	}
	stdout := a.env.Stdout
	a.env.Stdout = a.env.Stderr // stdout is for the shell
	defer func() { a.env.Stdout = stdout }()
	return a.login(ctx)
}

// keptAuthority is where the authority of a server is kept that was compared by its fingerprint.
func (a *app) keptAuthority(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", err
	}
	name := strings.NewReplacer(":", "_", "[", "", "]", "").Replace(strings.ToLower(u.Host))
	return a.configPath("XDG_CONFIG_HOME", ".config", "gantry", "ca", name+".pem")
}

// readAuthority reads the one certificate of an authority that is in a file.
func readAuthority(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s is not a certificate in PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s is the certificate of a server, not of an authority", path)
	}
	return cert, nil
}

func (a *app) keep(address string, cert *x509.Certificate) (string, error) {
	path, err := a.keptAuthority(address)
	if err != nil {
		return "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, text, 0o600)
}
