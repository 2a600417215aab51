package agent

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"gantry.example/internal/settings"
	"gantry.example/internal/telemetry"
	"gantry.example/messages"
	"gantry.example/workers/station"
)

// Settings are what an agent can be told. Every field but token is a flag of the same name; see internal/settings for the other
// ways to set it.
type Settings struct {
	Address      string
	TokenFile    string
	CAFile       string
	NATSURL      string
	Name         string
	Labels       []string
	Concurrency  int
	DataDir      string
	Once         bool
	DrainTimeout time.Duration
	RunAs        string
	RunEnv       []string
	MinFreeDisk  settings.Size
	LogLimit     settings.Size
	Engines      station.Engines
	Log          telemetry.LogConfig

	token string // from the environment, when there is no file of it
}

const (
	minFreeDisk = 1 << 30
	logLimit    = 64 << 20
	maxLabels   = 64 // as the server takes them
)

// Flags adds the flags.
func (s *Settings) Flags(f *pflag.FlagSet) {
	f.StringVar(&s.Address, "address", "", "the server, https://host[:port]; plain http only to this machine (or TFC_ADDRESS)")
	f.StringVar(&s.TokenFile, "token-file", "", "file with a token of the pool, from gantry pools tokens new; a new one in the file is taken into use (or GANTRY_AGENT_TOKEN, TFC_AGENT_TOKEN)")
	f.StringVar(&s.CAFile, "ca-file", "", "PEM file of the only authorities to trust (default: the system's)")
	f.StringVar(&s.NATSURL, "nats-url", "", "NATS itself, as tls://host:port, several separated by commas (default: through the server, below /nats)")
	f.StringVar(&s.Name, "name", "", "what the agent is called (default: the host's name, or TFC_AGENT_NAME)")
	f.StringSliceVar(&s.Labels, "label", nil, "what the agent offers; may be given more than once, or separated by commas")
	f.IntVar(&s.Concurrency, "concurrency", 1, "tasks to carry out at the same time")
	f.StringVar(&s.DataDir, "data-dir", defaultDataDir(), "folder of everything the agent keeps; one agent at a time uses it")
	f.BoolVar(&s.Once, "once", false, "carry out one task, with the apply that follows it at once, and end")
	f.BoolVar(&s.Once, "single", false, "the same as --once")
	f.DurationVar(&s.DrainTimeout, "drain-timeout", 0, "after draining for this long ask what still runs to stop; 0 waits for as long as it takes")
	f.StringVar(&s.RunAs, "run-as", station.RunAsAuto, "whom terraform runs as, when this is root: auto (a user id for each run), a range of ids FIRST-LAST, one account for all, or self (root: trusted code only)")
	f.StringSliceVar(&s.RunEnv, "run-env", nil, "variable of the agent's own environment that runs see, or the beginning of names and a * (AWS_*), of TF_… TF_VAR_… and TF_TOKEN_… only; may be given more than once, or separated by commas (default: none)")
	s.MinFreeDisk, s.LogLimit = minFreeDisk, logLimit
	f.Var(&s.MinFreeDisk, "min-free-disk", "nothing new is taken while the disk of --data-dir has less room; 0 takes the risk")
	f.Var(&s.LogLimit, "log-limit", "of the log of one attempt no more is stored, but for its end; 0 stores all")
	s.Engines.Flags(f)
	s.Log.Flags(f)
}

// Load fills what was not given as a flag: from GANTRY_AGENT_*, then from the variables of TFE's agent, then by default. The first
// setting that cannot work is an error.
func (s *Settings) Load(f *pflag.FlagSet, getenv func(string) string) error {
	const tokenVariable = settings.AgentPrefix + "TOKEN"
	byFlag := f.Changed("token-file")
	if !byFlag && getenv(tokenVariable) != "" && getenv(tokenVariable+"_FILE") != "" {
		return fmt.Errorf("%s and %[1]s_FILE are both set: set one", tokenVariable)
	}
	if err := settings.LoadAs(settings.AgentPrefix, f, getenv, ""); err != nil {
		return err
	}
	if s.TokenFile == "" {
		if s.token = getenv(tokenVariable); s.token == "" {
			s.token = getenv("TFC_AGENT_TOKEN")
		}
	}
	for to, variable := range map[*string]string{&s.Address: "TFC_ADDRESS", &s.Name: "TFC_AGENT_NAME"} {
		if *to == "" {
			*to = getenv(variable)
		}
	}
	if s.Name == "" {
		s.Name = station.Name("")
	}
	return s.validate()
}

// validate reports the first setting that cannot work, by its flag.
func (s *Settings) validate() error {
	switch {
	case s.Address == "":
		return errors.New("--address is missing: the server, https://host[:port]")
	case s.TokenFile == "" && s.token == "":
		return errors.New("--token-file is missing: a file with a token of the pool. Make one with gantry pools tokens new ORG/POOL")
	case s.Concurrency < 1:
		return fmt.Errorf("--concurrency %d: must be at least 1", s.Concurrency)
	case s.DrainTimeout < 0:
		return fmt.Errorf("--drain-timeout %s: must not be negative; 0 waits for as long as it takes", s.DrainTimeout)
	case !messages.ValidName(s.Name):
		return fmt.Errorf("--name %q: want 1 to %d letters, digits, - and _", s.Name, messages.MaxNameLength)
	case len(s.Labels) > maxLabels:
		return fmt.Errorf("--label: %d of them, and an agent may have %d", len(s.Labels), maxLabels)
	}
	if err := s.checkRunEnv(); err != nil {
		return err
	}
	u, err := url.Parse(strings.TrimSuffix(s.Address, "/"))
	if err != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("--address %q: want https://host[:port]", s.Address)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Errorf("--address %s: use https; plain http would show the token to the network", s.Address)
	}
	s.Address = u.String()
	if s.Labels, err = messages.CanonicalLabels(s.Labels); err != nil {
		return fmt.Errorf("--label: %w", err)
	}
	if s.DataDir, err = filepath.Abs(s.DataDir); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	return errors.Join(s.validateNATS(), s.Engines.Validate(), s.Log.Validate())
}

func (s *Settings) validateNATS() error {
	if s.NATSURL == "" {
		return nil
	}
	for _, text := range strings.Split(s.NATSURL, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		switch {
		case err != nil || u.Hostname() == "" || u.User != nil:
			return errors.New("--nats-url: want tls://host:port, several separated by commas, without user and password")
		case u.Scheme == "tls" || u.Scheme == "wss" || (u.Scheme == "nats" || u.Scheme == "ws") && loopback(u.Hostname()):
		default:
			return fmt.Errorf("--nats-url %s: use tls://; without TLS the token would be shown to the network", u.Host)
		}
	}
	return nil
}

// natsURL is where the agent and its runners find NATS: behind the server's own address, if nothing else is said.
func (s *Settings) natsURL() string {
	if s.NATSURL != "" {
		return s.NATSURL
	}
	return "ws" + strings.TrimPrefix(s.Address, "http") + "/nats"
}

// readToken reads the token anew: whoever renews it need not restart the agent.
func (s *Settings) readToken() (string, error) {
	if s.TokenFile == "" {
		return s.token, nil
	}
	b, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsAny(token, " \n") {
		return "", fmt.Errorf("--token-file %s: want one token and nothing else in it", s.TokenFile)
	}
	return token, nil
}

func (s *Settings) readCA() ([]byte, error) {
	if s.CAFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("--ca-file %s: there is no PEM certificate in it; of a Gantry with its own authority it is ca.pem in the data folder", s.CAFile)
	}
	return b, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func defaultDataDir() string {
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		return "/var/lib/gantry-agent"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "gantry-agent")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "share", "gantry-agent")
}
