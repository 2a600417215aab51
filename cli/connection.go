package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/internal/telemetry"
)

// What a server leaves in its data directory for the commands of the same machine.
const (
	addressFile    = "address" // its base URL, written when it is ready
	adminTokenFile = "admin-token"
	caFile         = "ca.pem" // of the authority that signed its certificate
)

// connectionFlags say which server to use. There is no flag for a token: the arguments of a process are public.
type connectionFlags struct {
	address, tokenFile, caFile, dataDir string
}

// connects gives the command (and those below it) the flags of a connection.
func (a *app) connects(cmd *cobra.Command) *cobra.Command {
	f := cmd.PersistentFlags()
	f.StringVar(&a.flags.address, "address", "", "URL of the server (GANTRY_ADDRESS; default: the server of this machine)")
	f.StringVar(&a.flags.tokenFile, "token-file", "", "file with the token (GANTRY_TOKEN_FILE; GANTRY_TOKEN holds the token itself)")
	f.StringVar(&a.flags.caFile, "ca-file", "", "PEM file of the authority to trust (GANTRY_CA_FILE)")
	f.StringVar(&a.flags.dataDir, "data-dir", "", "where the server of this machine keeps its data (GANTRY_DATA_DIR)")
	return cmd
}

// connection is a server and who to be there.
type connection struct {
	address   string
	token     string
	tokenFrom string // for messages
	ca        []byte
	caFile    string // named by the user, if it was
	missing   string // why there is no token
}

// connect finds the server and the token. It sends nothing yet.
func (a *app) connect() (*client.Client, error) {
	c, err := a.open()
	if err != nil {
		return nil, err
	}
	if a.connection.token == "" {
		return nil, fmt.Errorf("no token for the server at %s: %s. Set GANTRY_TOKEN or GANTRY_TOKEN_FILE, or use gantry login",
			a.connection.address, a.connection.missing)
	}
	return c, nil
}

// traceparent is the trace that this program is part of, as CI systems pass it on. Anything else under that name is ignored.
func (a *app) traceparent() string {
	given := a.env.Getenv("TRACEPARENT")
	if _, ok := telemetry.Parse(given); !ok {
		return ""
	}
	return given
}

// open is connect for calls that may do without a token.
func (a *app) open() (*client.Client, error) {
	found, err := a.discover()
	if err != nil {
		return nil, err
	}
	a.connection = found
	return client.New(client.Config{
		Address: found.address, Token: found.token, CACert: found.ca, Traceparent: a.traceparent(),
		Contact: func(err error) { a.contact.heard(found.address, err) },
	})
}

// discover looks at flags, then the environment, then at what the server of this machine left in its data directory, then at
// what gantry login kept.
func (a *app) discover() (*connection, error) {
	c, own, err := a.locate()
	if err != nil {
		return nil, err
	}
	return c, a.authenticate(c, own)
}

// ownServer is the server of this machine, as far as a connection has to do with it.
type ownServer struct {
	dataDir string
	is      bool // the connection is to that server
}

// locate finds the server and whom to trust for it, without a token.
func (a *app) locate() (*connection, ownServer, error) {
	var none ownServer
	dataDir := a.flags.dataDir
	if dataDir == "" {
		var err error
		if dataDir, err = DataDir(a.env.Getenv); err != nil {
			return nil, none, err
		}
	}
	address, _, err := a.setting(a.flags.address, "GANTRY_ADDRESS")
	if err != nil {
		return nil, none, err
	}
	local, localErr := readOptional(filepath.Join(dataDir, addressFile))
	if address == "" {
		address = local
	}
	kept, _, err := a.readCredentials()
	if err != nil {
		return nil, none, err
	}
	if address == "" {
		address = kept.Current
	}
	switch {
	case address == "" && localErr != nil:
		return nil, none, fmt.Errorf("the server of this machine is not for this user (%w): set GANTRY_ADDRESS and GANTRY_TOKEN, or use gantry login ADDRESS", localErr)
	case address == "":
		return nil, none, &Exit{Code: ExitUnreachable, Message: fmt.Sprintf(
			"no server found: GANTRY_ADDRESS is not set, and no server runs on the data in %s. "+
				"Start one with gantry server, or set GANTRY_ADDRESS and GANTRY_TOKEN, or use gantry login ADDRESS", dataDir)}
	}
	c := &connection{address: strings.TrimSuffix(address, "/")}
	isOwn, err := a.trust(c, dataDir, c.address == strings.TrimSuffix(local, "/"), kept.Servers[c.address].CAFile)
	return c, ownServer{dataDir, isOwn}, err
}

// trust fills in the authority and reports whether the server is the one of the data directory: by its address, or
// because it must prove to be by a certificate that only that one has.
func (a *app) trust(c *connection, dataDir string, isOwn bool, kept string) (bool, error) {
	u, err := url.Parse(c.address)
	if err != nil || u.Scheme != "https" {
		return isOwn, nil // the client refuses what is not a URL
	}
	path := a.flags.caFile
	if path == "" {
		path = a.env.Getenv("GANTRY_CA_FILE")
	}
	if path == "" {
		path = kept
	}
	if path == "" {
		if path, err = a.keptCA(c.address); err != nil {
			return false, err
		}
	}
	if c.caFile = path; path != "" {
		if c.ca, err = os.ReadFile(path); err != nil {
			return false, fmt.Errorf("the CA certificate cannot be read: %w", err)
		}
		return isOwn, nil
	}
	if !isOwn && !isLoopback(u.Hostname()) {
		return false, nil
	}
	pem, err := readOptional(filepath.Join(dataDir, caFile))
	c.ca = []byte(pem)
	return isOwn || pem != "", err
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// authenticate fills in the token. The one in the data directory is for that server only.
func (a *app) authenticate(c *connection, own ownServer) (err error) {
	if a.flags.tokenFile != "" {
		c.tokenFrom = a.flags.tokenFile
		c.token, err = readSetting(a.flags.tokenFile, "--token-file")
		return err
	}
	c.token, c.tokenFrom, err = a.setting("", "GANTRY_TOKEN")
	if err != nil || c.token != "" {
		return err
	}
	if own.is {
		c.tokenFrom = filepath.Join(own.dataDir, adminTokenFile)
		c.missing = "there is none in " + c.tokenFrom
		c.token, err = readOptional(c.tokenFrom)
		if errors.Is(err, fs.ErrPermission) {
			c.missing, err = c.tokenFrom+" may not be read by this user", nil
		}
		if err != nil || c.token != "" {
			return err
		}
	} else {
		c.missing = "the one in " + own.dataDir + " belongs to the server of this machine only"
	}
	kept, path, err := a.readCredentials()
	if found := kept.Servers[c.address].Token; found != "" {
		c.token, c.tokenFrom = found, path
	}
	return err
}

// setting is a value from its flag, else from the variable or the file that the variable with _FILE names, and where
// it came from.
func (a *app) setting(flag, name string) (value, from string, err error) {
	if flag != "" {
		return flag, "the flag", nil
	}
	value, path := a.env.Getenv(name), a.env.Getenv(name+"_FILE")
	switch {
	case value != "" && path != "":
		return "", "", fmt.Errorf("%s and %s_FILE are both set: unset one of them", name, name)
	case path != "":
		value, err = readSetting(path, name+"_FILE")
		return value, path, err
	default:
		return strings.TrimSpace(value), name, nil
	}
}

func readSetting(path, name string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	value := strings.TrimSpace(string(b))
	if value == "" {
		return "", fmt.Errorf("%s: %s is empty", name, path)
	}
	return value, nil
}

// readOptional is empty where there is no such file.
func readOptional(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// DataDir is where the server of this machine keeps its data unless a flag says otherwise: GANTRY_DATA_DIR, for root
// /var/lib/gantry, else gantry below the user's data folder.
func DataDir(getenv func(string) string) (string, error) {
	if dir := getenv("GANTRY_DATA_DIR"); dir != "" {
		return dir, nil
	}
	if os.Getuid() == 0 {
		return "/var/lib/gantry", nil
	}
	if dir := getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "gantry"), nil
	}
	home := getenv("HOME")
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", fmt.Errorf("no data directory: %w; set GANTRY_DATA_DIR", err)
		}
	}
	return filepath.Join(home, ".local", "share", "gantry"), nil
}
