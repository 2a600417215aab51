// Command gantry-dispatcher carries the runs of one k8s config out in Pods of the cluster it is near: it needs a token of the config,
// and rights in the cluster that deploy/kubernetes lists. It links no database. The server has the same as its role "dispatcher", for
// clusters that it reaches itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"gantry.example/internal/failpoint"
	"gantry.example/internal/settings"
	"gantry.example/internal/telemetry"
	"gantry.example/workers/dispatcher"
	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
	"gantry.example/workers/station"
)

var version = "dev" // set by the linker: see Makefile

type config struct {
	Address     string
	NATSURL     string
	TokenFile   string
	CAFile      string
	Kubeconfig  string
	RunnerImage string
	Calls       int
	Name        string
	HTTP        string
	Log         telemetry.LogConfig
}

func (c *config) flags(f *pflag.FlagSet) {
	f.StringVar(&c.Address, "address", "", "where this program and the Pods reach the API, https://host[:port]")
	f.StringVar(&c.NATSURL, "nats-url", "", "where both reach NATS, several separated by commas")
	f.StringVar(&c.TokenFile, "token-file", "", "file with a token of the k8s config: gantry k8s tokens")
	f.StringVar(&c.CAFile, "ca-file", "", "PEM file of the only authorities to trust for both (default: the system's)")
	f.StringVar(&c.Kubeconfig, "kubeconfig", "", "file that leads to the cluster (default: the one this program runs in)")
	f.StringVar(&c.RunnerImage, "runner-image", "", "image with the runner's program, of configs that name none")
	f.IntVar(&c.Calls, "cluster-calls", k8s.CallsPerSecond, "calls of the cluster's API server that it makes a second, at most")
	f.StringVar(&c.Name, "name", "", "what this dispatcher is called (default: dispatcher-<host name>)")
	f.StringVar(&c.HTTP, "http", "", `address for /healthz, /readyz and /metrics, without TLS and for everybody who reaches it (default: none)`)
	c.Log.Flags(f)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "gantry-dispatcher:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var cfg config
	cmd := &cobra.Command{
		Use: "gantry-dispatcher", Short: "Carry out the runs of a k8s config in Pods", Args: cobra.NoArgs, Version: version, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings.Load(cmd.Flags(), os.Getenv, ""); err != nil {
				return err
			}
			return dispatch(cmd.Context(), cfg)
		},
	}
	cfg.flags(cmd.Flags())
	return cmd
}

func (c config) validate() error {
	for _, f := range []struct{ flag, value string }{{"--address", c.Address}, {"--nats-url", c.NATSURL}, {"--token-file", c.TokenFile}} {
		if f.value == "" {
			return fmt.Errorf("%s is required", f.flag)
		}
	}
	if c.Calls < 1 {
		return fmt.Errorf("--cluster-calls %d: at least one call a second is needed", c.Calls)
	}
	return c.Log.Validate()
}

func dispatch(ctx context.Context, cfg config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	fail, err := failpoint.Armed(os.Getenv(failpoint.Env))
	if err != nil {
		return err
	}
	token, err := os.ReadFile(cfg.TokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	d := dispatcher.Config{
		Name: cfg.Name, Address: cfg.Address, NATSURL: cfg.NATSURL, Token: strings.TrimSpace(string(token)), Log: cfg.Log.New(os.Stderr), Passed: fail.Hit,
	}
	if d.Name == "" {
		d.Name = station.Name("dispatcher-")
	}
	if cfg.CAFile != "" {
		if d.CACert, err = os.ReadFile(cfg.CAFile); err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
	}
	d.Runner = runner.Assignment{Address: d.Address, NATSURL: d.NATSURL, CACert: string(d.CACert)}
	if d.Cluster, err = k8s.ConnectFile(cfg.Kubeconfig, "gantry-dispatcher/"+version, cfg.Calls); err != nil {
		return err
	}
	return cfg.serve(ctx, d)
}

// serve dispatches, and answers who watches, until ctx ends.
func (c config) serve(ctx context.Context, d dispatcher.Config) error {
	group, ctx := errgroup.WithContext(ctx)
	var seen late
	if c.HTTP != "" {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.HTTP)
		if err != nil {
			return fmt.Errorf("--http: %w", err)
		}
		group.Go(func() error { return dispatcher.Observe(ctx, ln, &seen) })
	}
	group.Go(func() error { return c.follow(ctx, d, &seen) })
	return group.Wait()
}

// late is a dispatcher that waits for the server at first: it is alive, and not ready.
type late struct {
	atomic.Pointer[dispatcher.Dispatcher]
}

// Ready implements dispatcher.Observed.
func (l *late) Ready(ctx context.Context) error {
	if d := l.Load(); d != nil {
		return d.Ready(ctx)
	}
	return errors.New("the server has not said yet what Pods are to be like")
}

// Describe implements prometheus.Collector: what there is to describe depends on the session, so nothing is.
func (l *late) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (l *late) Collect(out chan<- prometheus.Metric) {
	if d := l.Load(); d != nil {
		d.Collect(out)
	}
}
