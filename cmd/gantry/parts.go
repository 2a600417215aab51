package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/pgserver"
	"gantry.example/messages"
	"gantry.example/services/auth"
	"gantry.example/services/intake"
	"gantry.example/services/keeper"
	"gantry.example/services/logs"
	"gantry.example/services/placement"
	"gantry.example/services/postgres"
	"gantry.example/services/projector"
	"gantry.example/services/reconciler"
	"gantry.example/services/relay"
)

func (s *server) startEmbeddedNATS() error {
	n, err := broker.Start(broker.Config{StoreDir: filepath.Join(s.cfg.DataDir, "nats"), Listen: s.cfg.NATS, Log: s.log})
	var listen *broker.ListenError
	if errors.As(err, &listen) {
		return busy("--nats", s.cfg.NATS, listen.Err)
	}
	if err != nil {
		return err
	}
	s.nats, s.broker = n, n
	return nil
}

// watchNATS ends the server when NATS cannot store any more, so that whoever supervises it starts it anew: running attempts
// do not notice more than an outage.
func (s *server) watchNATS(ctx context.Context) error {
	if s.nats == nil {
		<-ctx.Done()
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.nats.Failed():
		return fmt.Errorf("%w: is the disk of %s full? Make room and start the server again; running tasks go on", err, s.cfg.DataDir)
	}
}

func (s *server) stopNATS(context.Context) error {
	if s.nats != nil {
		s.nats.Shutdown()
	}
	return nil
}

// startPostgres starts the private PostgreSQL, unless another is to be used.
func (s *server) startPostgres(ctx context.Context) error {
	if s.cfg.DatabaseURL != "" {
		return nil
	}
	user, err := pgserver.Unprivileged()
	if err != nil {
		return err
	}
	place, err := pgserver.Place(s.cfg.DataDir, pgserver.Elsewhere, user)
	if err != nil {
		return err
	}
	home := pgserver.Home(place)
	major, err := pgserver.Major(home)
	if err != nil {
		return err
	}
	binaries, err := pgserver.Find(ctx, pgserver.FindConfig{WantMajor: major, CacheDir: filepath.Join(place, "cache"), RunAs: user, Log: s.log})
	if err != nil {
		return err
	}
	s.pg, err = pgserver.Start(ctx, pgserver.Config{Home: home, Binaries: binaries, RunAs: user, Durable: true, Log: s.log})
	return err
}

func (s *server) stopPostgres(ctx context.Context) error {
	if s.pg == nil {
		return nil
	}
	return s.pg.Stop(ctx)
}

func (s *server) tryDatabase(ctx context.Context) error {
	dsn := s.cfg.DatabaseURL
	if s.pg != nil {
		dsn = s.pg.DSN(pgserver.Database)
	}
	db, err := postgres.Open(ctx, postgres.Config{DSN: dsn, Sealer: s.seal, Timing: s.cfg.timing(), Workdirs: s.cfg.AllowedWorkdirs,
		Modes: []messages.Mode{messages.ModeLocal, messages.ModeAgent, messages.ModeK8s}})
	if err != nil {
		return err
	}
	s.db = db
	// Opened with the key that everything in it is sealed with, before anything is sealed with another.
	if s.signing, err = db.SigningKey(ctx); err == nil && s.cfg.has(roleAPI) {
		err = s.ensureTokens(ctx)
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

func (s *server) ensureTokens(ctx context.Context) error {
	if err := s.db.EnsureBasics(ctx); err != nil {
		return err
	}
	admin, err := s.token(s.cfg.file(s.cfg.AdminTokenFile, adminTokenFile), postgres.PrefixAdmin)
	if err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	if err := s.db.EnsureToken(ctx, admin, postgres.TokenAdmin, "", "admin"); err != nil {
		return err
	}
	if s.pool, err = s.token(s.cfg.file(s.cfg.WorkerTokenFile, poolTokenFile), postgres.PrefixPool); err != nil {
		return fmt.Errorf("worker token: %w", err)
	}
	return s.db.EnsureToken(ctx, s.pool, postgres.TokenPool, messages.LocalPool, "local worker")
}

// connectBus connects the server itself and makes the streams.
func (s *server) connectBus(ctx context.Context) error {
	nc, err := s.broker.Connect("gantry-server")
	if err != nil {
		return err
	}
	s.closeBus = nc.Close
	if s.bus, err = bus.New(nc); err == nil {
		err = s.makeStreams(ctx)
	}
	if err != nil {
		nc.Close()
	}
	return err
}

func (s *server) ensureStreams(ctx context.Context) error {
	n := s.cfg.replicas()
	return errors.Join(
		s.bus.EnsureStatus(ctx, n), s.bus.EnsureLogs(ctx, n), s.bus.EnsureIntake(ctx, n), s.bus.EnsureDeadLetters(ctx, n),
		s.bus.EnsureTasks(ctx, messages.ModeLocal, messages.LocalPool, n), s.bus.EnsureLeases(ctx, messages.LocalPool, n),
		s.bus.EnsureTaskConsumer(ctx, messages.ModeLocal, messages.LocalPool, nil),
	)
}

// admitClients lets workers and runners in.
func (s *server) admitClients(ctx context.Context) (err error) {
	s.callout, err = s.broker.ServeCallout(context.WithoutCancel(ctx), auth.NewNATS(s.db))
	return err
}

func (s *server) closeClients(context.Context) error {
	s.callout.Close()
	return nil
}

func (s *server) startNotifier(context.Context) error {
	s.notifier = s.db.NewNotifier()
	return nil
}

// startPlacer prepares the choice among agents, which goes with the relay: it begins where a task is published.
func (s *server) startPlacer(context.Context) error {
	s.placer = placement.New(s.db, s.bus, s.log)
	return nil
}

func (s *server) runRelay(ctx context.Context) error {
	return relay.New(s.db, s.bus, s.notifier, s.placer, s.cfg.replicas(), s.fail, s.log).Run(ctx)
}

func (s *server) runLogs(ctx context.Context) error {
	return logs.New(s.db, s.bus, s.cfg.replicas(), logs.DefaultPatience, s.log).Run(ctx)
}

func (s *server) runProjector(ctx context.Context) error {
	return projector.New(s.db, s.bus, s.cfg.replicas(), s.fail, s.log).Run(ctx)
}

func (s *server) runIntake(ctx context.Context) error {
	return intake.New(s.db, s.bus, s.cfg.replicas(), s.traces != nil, s.fail, s.log).Run(ctx)
}

func (s *server) runReconciler(ctx context.Context) error {
	r := reconciler.New(s.db, s.bus, s.cfg.patience(), s.cfg.replicas(), s.log)
	if err := s.metrics.Register(r); err != nil {
		return err
	}
	return r.Run(ctx)
}

func (s *server) runKeeper(ctx context.Context) error {
	return keeper.New(s.db, s.cfg.Retention, keeper.DefaultTiming(), s.log).Run(ctx)
}
