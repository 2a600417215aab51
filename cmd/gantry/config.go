package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"gantry.example/internal/forwarded"
	"gantry.example/internal/settings"
	"gantry.example/internal/telemetry"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/reconciler"
	"gantry.example/services/run"
	"gantry.example/workers/k8s"
	"gantry.example/workers/station"
)

// config is what `gantry server` can be told. Every field is a flag of the same name; see internal/settings for the other
// ways to set it.
type config struct {
	Roles             []string
	DataDir           string
	HTTP              string
	HTTPS             string
	NATS              string
	PublicURL         string
	TrustedProxies    []string
	TLS               httpsConfig
	NATSURL           string
	NATSWebSocketURL  []string
	NATSCredentials   string
	Replicas          int
	DatabaseURL       string
	EncryptionKeyFile string
	AdminTokenFile    string
	WorkerTokenFile   string
	WorkerName        string
	Address           string
	CAFile            string
	Concurrency       int
	AllowedWorkdirs   []string
	RunAs             string
	RunnerImage       string
	ClusterCalls      int
	Log               telemetry.LogConfig
	OTLPEndpoint      string

	LeaseTTL             time.Duration
	StartWithin          time.Duration
	Grace                time.Duration
	LostAfter            time.Duration
	OfflineLimit         time.Duration
	Settle               time.Duration
	RepublishAfter       time.Duration
	Limits               run.Patience
	NotificationNetworks []string
	RateLimit            float64

	Retention   postgres.Retention
	MinFreeDisk settings.Size
	LogLimit    settings.Size
	Engines     station.Engines
}

// The records of runs are small and say who changed what, so they stay; logs, plans and configurations are what fills disks.
const (
	keepLogs           = 180 * 24 * time.Hour
	rateLimit          = 500 // a program that polls politely needs a hundredth
	keepConfigurations = 90 * 24 * time.Hour
	keepAudit          = 2 * 365 * 24 * time.Hour
)

const (
	minFreeDisk = 1 << 30
	logLimit    = 64 << 20
)

// offlineLimit is how long an apply goes on without anybody to report to.
const offlineLimit = 10 * time.Minute

func (c *config) flags(f *pflag.FlagSet) {
	timing := postgres.DefaultTiming()
	patience := reconciler.DefaultTiming(timing.LeaseTTL)
	f.StringVar(&c.DataDir, "data-dir", defaultDataDir(), "folder of everything the server keeps")
	f.StringSliceVar(&c.Roles, "roles", roleNames(allRoles()), "parts of the platform that this server is; see docs/operations.md")
	f.StringVar(&c.HTTP, "http", "127.0.0.1:8080", `address for plain HTTP: API, pages, probes, metrics; "" for none. Without the api role: probes and metrics`)
	f.StringVar(&c.HTTPS, "https", "127.0.0.1:8443", `address for HTTPS: API and pages; "" for none`)
	f.StringVar(&c.NATS, "nats", "127.0.0.1:4222", "address of the embedded NATS; must stay the same over restarts, running tasks come back to it")
	f.StringVar(&c.NATSURL, "nats-url", "", "NATS cluster to use instead of the embedded one, as tls://host:port, several separated by commas")
	f.StringSliceVar(&c.NATSWebSocketURL, "nats-websocket-url", nil, "where the cluster of --nats-url takes WebSockets, as wss://host:port, several separated by commas: agents then reach NATS through the API (default: agents need --nats-url)")
	f.StringVar(&c.NATSCredentials, "nats-credentials-file", "", "credentials for --nats-url, written by gantry admin nats-config; workers need none")
	f.IntVar(&c.Replicas, "replicas", 0, "copies of every stream (default: 1, with --nats-url 3)")
	f.StringVar(&c.PublicURL, "public-url", "", "https://host[:port] users reach the server at: what links begin with, and a name of the certificate (default: --acme-host, or where others than this machine can reach --https, or the address for this machine)")
	f.StringSliceVar(&c.TrustedProxies, "trusted-proxies", nil, "addresses and networks of reverse proxies whose X-Forwarded-For counts, for the limits on logins; separated by commas (default: nobody's)")
	f.StringSliceVar(&c.NotificationNetworks, "notification-networks", nil, "addresses and networks that are not of the public internet and that notifications may be sent to all the same, separated by commas (default: none)")
	c.TLS.flags(f)
	f.StringVar(&c.DatabaseURL, "database-url", "", "PostgreSQL to use instead of a private one, as postgres://…")
	f.StringVar(&c.EncryptionKeyFile, "encryption-key-file", "", "key that encrypts states, plans and variables (default: <data-dir>/encryption-key; required with --database-url)")
	f.StringVar(&c.AdminTokenFile, "admin-token-file", "", "token of the administrator, made if missing (default: <data-dir>/admin-token)")
	f.StringVar(&c.WorkerTokenFile, "worker-token-file", "", "token of the local workers; made by the api role if missing (default: <data-dir>/worker-token)")
	f.StringVar(&c.WorkerName, "worker-name", "", "what the worker is called (default: local-<host name>)")
	f.StringVar(&c.Address, "address", "", "where a worker without the api role reaches the API, https://host[:port]")
	f.StringVar(&c.CAFile, "ca-file", "", "PEM file of the only authorities to trust for --address and --nats-url (default: the system's)")
	f.IntVar(&c.Concurrency, "concurrency", max(2, runtime.NumCPU()), "tasks the local worker carries out at the same time")
	f.StringSliceVar(&c.AllowedWorkdirs, "allowed-workdirs", nil, "absolute folders below which workspaces may have their runs carried out (workdir of the execution document); separated by commas")
	f.StringVar(&c.RunAs, "run-as", station.RunAsAuto, "whom terraform runs as, when this is root: auto (a user id for each run), a range of ids FIRST-LAST, one account for all, or self (root: trusted code only)")
	f.StringVar(&c.RunnerImage, "runner-image", "gantry", "image of this program, from which Pods of k8s configs that name none get it")
	f.IntVar(&c.ClusterCalls, "cluster-calls", k8s.CallsPerSecond, "calls of a cluster's API server that the dispatcher of a k8s config makes a second, at most")
	c.Log.Flags(f)
	f.StringVar(&c.OTLPEndpoint, "otlp-endpoint", "", "OpenTelemetry collector that gets a trace of every run, as http://127.0.0.1:4318 (default: OTEL_EXPORTER_OTLP_ENDPOINT; none: no traces)")
	f.DurationVar(&c.LeaseTTL, "lease-ttl", timing.LeaseTTL, "a runner that is silent for this long has lost its lease")
	f.DurationVar(&c.StartWithin, "start-within", timing.StartWithin, "a claimed task that did not start within this goes back to the queue")
	f.DurationVar(&c.Grace, "grace", timing.Grace, "from asking terraform to stop until killing it")
	f.DurationVar(&c.LostAfter, "lost-after", patience.LostAfter, "an apply without contact for this long ends with an unknown outcome")
	f.DurationVar(&c.OfflineLimit, "offline-limit", offlineLimit, "an apply that reaches neither the server nor NATS for this long is asked to stop; shorter than --lost-after by more than --grace")
	f.DurationVar(&c.Settle, "settle", patience.Settle, "after a start or an outage nobody is judged for lost contact for this long")
	c.MinFreeDisk, c.LogLimit = minFreeDisk, logLimit
	f.Var(&c.MinFreeDisk, "min-free-disk", "the local worker takes nothing new while the disk of its work folder has less room; 0 takes the risk")
	f.Var(&c.LogLimit, "log-limit", "of the log of one attempt no more is stored, but for its end; 0 stores all")
	f.DurationVar(&c.Retention.Runs, "keep-runs", 0, "runs that ended longer ago are removed, with all that belongs to them; 0 keeps them for ever")
	f.DurationVar(&c.Retention.Logs, "keep-logs", keepLogs, "logs and plans of runs that ended longer ago are removed; 0 keeps them for ever")
	f.DurationVar(&c.Retention.Configurations, "keep-configurations", keepConfigurations,
		"archives of configuration versions that nothing used for longer are removed; 0 keeps them for ever")
	f.DurationVar(&c.Retention.Audit, "keep-audit", keepAudit, "what people did longer ago, but to runs, is removed from the audit; 0 keeps it for ever")
	f.DurationVar(&c.Limits.Plan, "plan-timeout", patience.Limits.Plan, "a plan that runs for longer is asked to stop, and its run errors; 0 for no limit. This and the next four are what workspaces can change for themselves")
	f.DurationVar(&c.Limits.Apply, "apply-timeout", patience.Limits.Apply, "the same for an apply")
	f.DurationVar(&c.Limits.Silence, "silence-timeout", 0, "a plan or apply that prints nothing for this long is asked to stop, and its run errors; 0 for no limit")
	f.DurationVar(&c.Limits.Queue, "queue-timeout", 0, "a run that no worker takes for this long errors; 0 for no limit")
	f.DurationVar(&c.Limits.Approval, "approval-timeout", 0, "a planned run that nobody applies for this long is discarded; 0 for no limit")
	f.Float64Var(&c.RateLimit, "api-rate-limit", rateLimit, "calls a second that each API server takes of one token, twice as many after a pause; 0 for no limit")
	c.Engines.Flags(f)
	f.DurationVar(&c.RepublishAfter, "republish-after", patience.Republish, "a queued task's message is looked for after this")
}

// validate reports the first setting that cannot work, by its flag.
func (c *config) validate() error {
	switch {
	case c.HTTP == "" && c.HTTPS == "" && c.has(roleAPI):
		return errors.New("--http and --https are both empty: the server needs one of them")
	case c.DatabaseURL != "" && c.EncryptionKeyFile == "" && c.has(storing()...):
		return errors.New("--encryption-key-file is required with --database-url: whoever has the database must not find the key beside it. A file that does not exist yet is made")
	case c.ClusterCalls < 1:
		return fmt.Errorf("--cluster-calls %d: at least one call a second is needed", c.ClusterCalls)
	case c.Concurrency < 1:
		return fmt.Errorf("--concurrency %d: must be at least 1", c.Concurrency)
	case c.Log.Validate() != nil:
		return c.Log.Validate()
	case c.LeaseTTL < time.Second || c.LeaseTTL%time.Second != 0:
		return fmt.Errorf("--lease-ttl %s: must be whole seconds, at least 1s", c.LeaseTTL)
	case c.Retention.Runs < 0 || c.Retention.Logs < 0 || c.Retention.Configurations < 0 || c.Retention.Audit < 0:
		return errors.New("--keep-runs, --keep-logs, --keep-configurations, --keep-audit: must not be negative; 0 keeps for ever")
	case c.NATS == "" && c.NATSURL == "":
		return errors.New("--nats is empty: runners need an address")
	}
	if c.WorkerName != "" && !messages.ValidName(c.WorkerName) {
		return fmt.Errorf("--worker-name %q: want letters, digits, - and _", c.WorkerName)
	}
	for _, check := range []func() error{c.validateRoles, c.validateLimits, c.validateAddresses} {
		if err := check(); err != nil {
			return err
		}
	}
	for _, dir := range c.AllowedWorkdirs {
		if !filepath.IsAbs(dir) || dir != filepath.Clean(dir) {
			return fmt.Errorf("--allowed-workdirs %q: must be clean absolute paths, separated by commas", dir)
		}
	}
	var err error
	if c.PublicURL, err = publicURL(c.PublicURL); err != nil {
		return fmt.Errorf("--public-url %w", err)
	}
	if _, err := forwarded.Parse(c.TrustedProxies); err != nil {
		return fmt.Errorf("--trusted-proxies %w", err)
	}
	if _, err := forwarded.Parse(c.NotificationNetworks); err != nil {
		return fmt.Errorf("--notification-networks %w", err)
	}
	if err := c.TLS.validate(c.HTTPS); err != nil {
		return err
	}
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	return c.Engines.Validate()
}

func (c *config) validateLimits() error {
	if c.LostAfter <= c.OfflineLimit+c.Grace {
		return fmt.Errorf("--lost-after %s: must be longer than --offline-limit %s and --grace %s together: an apply that is cut off has to stop before it is given up", c.LostAfter, c.OfflineLimit, c.Grace)
	}
	for _, l := range []struct {
		flag  string
		limit time.Duration
	}{
		{"plan", c.Limits.Plan}, {"apply", c.Limits.Apply}, {"silence", c.Limits.Silence}, {"queue", c.Limits.Queue}, {"approval", c.Limits.Approval},
	} {
		if l.limit < 0 {
			return fmt.Errorf("--%s-timeout %s: must not be negative; 0 is no limit", l.flag, l.limit)
		}
	}
	return nil
}

func (c *config) validateAddresses() error {
	for _, a := range []struct{ flag, addr string }{{"--http", c.HTTP}, {"--https", c.HTTPS}, {"--nats", c.NATS}} {
		if a.addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("%s %q: want host:port", a.flag, a.addr)
		}
	}
	return nil
}

func (c *config) timing() postgres.Timing {
	t := postgres.DefaultTiming()
	t.LeaseTTL, t.StartWithin, t.Grace = c.LeaseTTL, c.StartWithin, c.Grace
	t.LostAfter = c.LostAfter
	return t
}

func (c *config) patience() reconciler.Timing {
	t := reconciler.DefaultTiming(c.LeaseTTL)
	t.LostAfter, t.Settle, t.Republish = c.LostAfter, c.Settle, c.RepublishAfter
	t.Limits = c.Limits
	return t
}

func (c *config) file(flag, name string) string {
	if flag != "" {
		return flag
	}
	return filepath.Join(c.DataDir, name)
}
