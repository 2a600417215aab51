package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.example/client"
	"gantry.example/internal/pgserver"
	"gantry.example/messages"
	"gantry.example/test/loopback"
)

// installation is a Gantry of which every part can be broken.
type installation struct {
	root      string
	bin       string
	terraform string // the real one
	work      string // a worker's work folder
	full      bool   // it can be filled up
	api       string // where users find it
	pg        *pgserver.Server
	client    *client.Client
	parts     map[role][]*program
	hosts     []host // of the workers
	lostAfter time.Duration
	patience  time.Duration // until a lost host's runs were given up and their workspaces unlocked
	flags     []string      // of the program, over ours
	apis      []string      // addresses of the API's processes
	pools     []string      // where tasks queue: the local one first
	links     []*link       // between a worker and everything else; none where they are one process
	natsURL   string        // for us
	nats      []string      // addresses of the servers of a cluster
}

// role is what a process is there for.
type role string

// The roles. A single server has all but NATS, which it embeds.
const (
	roleServer    role = "server"
	roleAPI       role = "api"
	roleRelay     role = "relay"
	roleProjector role = "projector"
	roleHouse     role = "house" // everything else
	roleWorker    role = "worker"
	roleNATS      role = "NATS server"
)

func (in *installation) path(elem ...string) string {
	return filepath.Join(append([]string{in.root}, elem...)...)
}

// split reports whether the parts are processes of their own.
func (in *installation) split() bool { return len(in.nats) > 0 }

// startLimit is how long the first start may take.
const startLimit = 2 * time.Minute

// install starts everything and waits until it is there.
func install(ctx context.Context, s settings, root string) (_ *installation, err error) {
	in := &installation{root: root, bin: s.bin, parts: map[role][]*program{}, pools: []string{messages.LocalPool}, flags: s.flags, lostAfter: s.lostAfter, patience: s.lostAfter + s.handsOff + lossIsSeen}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(err, in.remove())
		}
	}()
	if err := in.prepare(ctx); err != nil {
		return nil, err
	}
	if s.single {
		err = in.describeSingle(ctx)
	} else {
		err = in.describeSplit(ctx)
	}
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		err := os.MkdirAll(in.work, 0o711) //nolint:gosec // terraform passes through
		if err == nil && syscall.Mount("tmpfs", in.work, "tmpfs", 0, "size=256m,mode=711") == nil {
			in.full = true
		}
	}
	for _, programs := range in.parts {
		for _, p := range programs {
			p.start()
		}
	}
	if err := in.connect(ctx); err != nil {
		return in, err
	}
	return in, in.addAgents(ctx, s.agents)
}

// add describes a process; its own flags are added to those that all have.
func (in *installation) add(r role, args ...string) *program {
	name := strings.ReplaceAll(string(r), " ", "-") + fmt.Sprintf("-%d", len(in.parts[r])+1)
	p := newProgram(name, in.root, in.environment(), args...)
	in.parts[r] = append(in.parts[r], p)
	return p
}

// prepare makes folders, addresses, the wrapper and Postgres.
func (in *installation) prepare(ctx context.Context) error {
	for _, dir := range []string{"bin", "tmp", "journals", "data"} {
		if err := os.MkdirAll(in.path(dir), 0o755); err != nil { //nolint:gosec // others pass through
			return err
		}
	}
	if err := errors.Join(os.Chmod(in.path("journals"), 0o777), os.Chmod(in.path("tmp"), 0o1777)); err != nil { //nolint:gosec // terraform runs as any user
		return err
	}
	if err := in.installWrapper(); err != nil {
		return err
	}
	var err error
	in.pg, err = startPostgres(ctx, in.root)
	return err
}

// installWrapper puts this program before terraform.
func (in *installation) installWrapper() error {
	found, err := exec.LookPath(wrapperName)
	if err == nil {
		in.terraform, err = filepath.EvalSymlinks(found)
	}
	if err != nil {
		return fmt.Errorf("a terraform in PATH is needed: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(in.path("bin", wrapperName), os.O_CREATE|os.O_WRONLY, 0o755) //nolint:gosec // terraform runs as any user
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close(),
		os.WriteFile(in.path("bin", realName), []byte(in.terraform), 0o644),            //nolint:gosec // the same
		os.WriteFile(in.path("bin", journalsName), []byte(in.path("journals")), 0o644)) //nolint:gosec // the same
}

// environment is ours without settings of Gantry, with the wrapper before everything else.
func (in *installation) environment() []string {
	env := []string{"TMPDIR=" + in.path("tmp"), "PATH=" + in.path("bin") + ":" + os.Getenv("PATH")}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "GANTRY_") && name != "PATH" && name != "TMPDIR" {
			env = append(env, kv)
		}
	}
	return env
}

// serverArgs have short deadlines: much is to happen in little time.
func (in *installation) serverArgs(dir string, more ...string) []string {
	return append([]string{
		in.bin, "server", "--data-dir", dir, "--https", "", "--worker-token-file", in.path("worker-token"), "--min-free-disk", "0",
		"--lease-ttl", "3s", "--start-within", "5s", "--republish-after", "2s", "--settle", "5s", "--lost-after", in.lostAfter.String(), "--grace", "8s", "--offline-limit", "15s",
	}, append(more, in.flags...)...)
}

// lossIsSeen is when a lost runner is without contact for the reconciler, and a little for what follows: the lease is over
// after 3 s, and missing for 5.
const lossIsSeen = 12 * time.Second

// databaseArgs are for whoever needs the database.
func (in *installation) databaseArgs() []string {
	return []string{
		"--database-url", in.pg.DSN(pgserver.Database), "--encryption-key-file", in.path("key"), "--admin-token-file", in.path("admin-token"),
	}
}

// describeSingle is one process with everything in it, NATS too.
func (in *installation) describeSingle(ctx context.Context) error {
	api, err := loopback.Free(ctx)
	if err != nil {
		return err
	}
	nats, err := loopback.Free(ctx)
	if err != nil {
		return err
	}
	in.api, in.natsURL, in.work = api, "nats://"+nats, in.path("data", "work")
	args := in.serverArgs(in.path("data"), append(in.databaseArgs(), "--http", api, "--nats", nats, "--concurrency", "6")...)
	in.hosts = append(in.hosts, host{worker: in.add(roleServer, args...), dir: in.path("data")})
	return nil
}

func startPostgres(ctx context.Context, root string) (*pgserver.Server, error) {
	log := slog.New(slog.DiscardHandler)
	user, err := pgserver.Unprivileged()
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(pgserver.Elsewhere, "cache")
	if user == nil { // else its own folder would be closed to that user
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(base, "gantry")
	}
	binaries, err := pgserver.Find(ctx, pgserver.FindConfig{CacheDir: cache, RunAs: user, Log: log})
	if err != nil {
		return nil, err
	}
	return pgserver.Start(ctx, pgserver.Config{
		Home: pgserver.Home(root), Binaries: binaries, RunAs: user, Durable: true, DieWithParent: true, Log: log,
	})
}

// connect waits for the server and makes the users' client.
func (in *installation) connect(ctx context.Context) error {
	for {
		token, err := os.ReadFile(in.path("admin-token"))
		if err == nil && in.client == nil {
			in.client, err = client.New(client.Config{Address: "http://" + in.api, Token: strings.TrimSpace(string(token))})
		}
		if err == nil {
			err = in.client.Ready(ctx)
		}
		if err == nil {
			return nil
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the server is not ready: %w; its logs are in %s", err, in.root)
		}
	}
}

// calm waits until everything that was broken is whole again.
func (in *installation) calm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return in.connect(ctx)
}

// remove stops everything.
func (in *installation) remove() error {
	var err error
	for _, r := range []role{roleServer, roleAgent, roleWorker, roleRelay, roleProjector, roleHouse, roleAPI, roleNATS} { // NATS last: others say good-bye
		for _, p := range in.parts[r] {
			err = errors.Join(err, p.stop())
		}
	}
	for _, l := range in.links {
		l.close()
	}
	for _, v := range in.victims() { // runners and what they started outlive their server
		_ = syscall.Kill(v.pid, syscall.SIGKILL)
	}
	if in.client != nil {
		in.client.Close()
	}
	if in.pg != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err = errors.Join(err, in.pg.Stop(ctx))
	}
	if in.full {
		err = errors.Join(err, syscall.Unmount(in.work, syscall.MNT_DETACH))
	}
	return err
}
