package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/services/postgres"
)

// How a part waits for what runs elsewhere: parts of a distributed deployment are started in any order.
const (
	awaitPause = 500 * time.Millisecond
	awaitSay   = 30 * time.Second // between two words about the same thing
)

// await tries until it works, fails for good, or ctx ends, and says what it waits for. worth tells which failures may pass.
func (s *server) await(ctx context.Context, what string, worth func(error) bool, try func(context.Context) error) error {
	var said time.Time
	for {
		err := try(ctx)
		if err == nil {
			if !said.IsZero() {
				s.log.Info("goes on: what was waited for is there", "for", what)
			}
			return nil
		}
		if ctx.Err() != nil || !worth(err) {
			return err
		}
		if time.Since(said) > awaitSay {
			said = time.Now()
			s.log.Warn("waiting", "for", what, "error", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(awaitPause):
		}
	}
}

// startNATS starts the embedded NATS, or describes the one to use instead.
func (s *server) startNATS(context.Context) error {
	if s.cfg.NATSURL == "" {
		return s.startEmbeddedNATS()
	}
	if !s.cfg.has(services()...) {
		return nil // the worker connects for itself
	}
	creds, err := broker.ReadCredentials(s.cfg.NATSCredentials)
	if err != nil {
		return fmt.Errorf("--nats-credentials-file: %w", err)
	}
	if s.cfg.has(roleAPI) && !creds.Admits() {
		return fmt.Errorf("--nats-credentials-file %s: the api role admits clients and needs the seeds for that: give it the api.json of gantry admin nats-config", s.cfg.NATSCredentials)
	}
	ca, err := s.cfg.ca()
	if err != nil {
		return err
	}
	s.broker, err = broker.NewCluster(s.cfg.NATSURL, s.cfg.NATSWebSocketURL, creds, ca, s.log)
	return err
}

// ca is what --ca-file holds; nothing when everything is on this machine.
func (c *config) ca() ([]byte, error) {
	if c.CAFile == "" || c.NATSURL == "" && c.has(roleAPI) {
		return nil, nil
	}
	b, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	return b, nil
}

// natsURL is where workers and runners connect.
func (s *server) natsURL() string {
	if s.cfg.NATSURL != "" {
		return s.cfg.NATSURL
	}
	return s.nats.ClientURL()
}

// makeStreams makes what everybody uses. A cluster may not be there yet, or not be whole.
func (s *server) makeStreams(ctx context.Context) error {
	worth := func(err error) bool { return s.cfg.NATSURL != "" && !errors.Is(err, bus.ErrNoCluster) }
	return s.await(ctx, "NATS", worth, s.ensureStreams)
}

// openDatabase connects, migrates, and makes what every installation has.
func (s *server) openDatabase(ctx context.Context) error {
	worth := func(err error) bool { return s.cfg.DatabaseURL != "" && postgres.Unavailable(err) }
	if err := s.await(ctx, "PostgreSQL", worth, s.tryDatabase); err != nil || s.cfg.DatabaseURL == "" {
		return err
	}
	return s.await(ctx, "PostgreSQL", worth, s.compareClocks)
}

// clocksMayDiffer is far below the shortest deadline that one server writes and another judges, that of a claim.
const clocksMayDiffer = 2 * time.Second

// compareClocks warns of a clock that is wrong, of which the other servers on the same PostgreSQL know nothing.
func (s *server) compareClocks(ctx context.Context) error {
	ahead, err := s.db.ClockAhead(ctx)
	if err == nil && ahead.Abs() > clocksMayDiffer {
		s.log.Warn("this machine's clock is not PostgreSQL's: deadlines of tasks are missed or come late. Synchronize all machines with the same time servers",
			"ahead", ahead.Round(100*time.Millisecond))
	}
	return err
}

// workerToken reads the token of the pool. The API makes its file; a worker elsewhere may be started before it.
func (s *server) workerToken(ctx context.Context) error {
	if s.pool != "" {
		return nil
	}
	missing := func(err error) bool { return errors.Is(err, os.ErrNotExist) }
	return s.await(ctx, "the worker's token", missing, func(context.Context) error {
		token, err := readToken(s.cfg.WorkerTokenFile)
		s.pool = token
		return err
	})
}

// readiness reports why this process cannot do its work right now, or nil. An API is ready with its database: what it is
// asked it can answer, and what it decides waits in the outbox.
func (s *server) readiness(ctx context.Context) error {
	if s.cfg.has(services()...) {
		if err := s.db.Ping(ctx); err != nil || s.cfg.has(roleAPI) {
			return err
		}
		if !s.bus.Connected() {
			return errors.New("not connected to NATS")
		}
	}
	if !s.cfg.has(roleWorker) {
		return nil
	}
	if w := s.worker.Load(); w != nil {
		return w.Ready(ctx)
	}
	return errors.New("the worker has not started yet")
}
