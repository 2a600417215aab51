package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"gantry.example/internal/host"
	"gantry.example/messages"
	"gantry.example/workers/runner"
	"gantry.example/workers/station"
)

// startWorker makes this machine a worker of the local pool. It reaches the server the way every worker does, over HTTP and
// NATS with its pool's token, and shares nothing with it but, perhaps, the process.
func (s *server) startWorker(ctx context.Context) error {
	if err := s.workerToken(ctx); err != nil {
		return fmt.Errorf("--worker-token-file: %w", err)
	}
	ca, err := s.trusted()
	if err != nil {
		return err
	}
	program, err := runnerProgram()
	if err != nil {
		return err
	}
	releases, err := s.cfg.Engines.Releases()
	if err != nil {
		return err
	}
	place, err := s.placeRuns()
	if err != nil {
		return err
	}
	w, err := station.New(station.Config{
		Name: s.cfg.workerName(), Pool: messages.LocalPool, Address: s.apiURL(), NATSURL: s.natsURL(), CACert: ca, Token: s.pool,
		Runner:  append(program, s.cfg.Log.Args()...),
		WorkDir: filepath.Join(place, "work"), CacheDir: filepath.Join(place, "cache"), Users: s.users,
		MinFree: uint64(s.cfg.MinFreeDisk), LogLimit: int64(s.cfg.LogLimit), //nolint:gosec // no log is as large
		Slots: s.cfg.Concurrency, SetupLimit: s.cfg.StartWithin, OfflineLimit: s.cfg.OfflineLimit, Releases: releases, Providers: s.cfg.Engines.Providers(),
		Version: s.version, Log: s.log, Output: os.Stderr, Passed: s.fail.Hit,
	})
	if err != nil {
		return err
	}
	disks := host.NewMetrics(s.log, slices.Compact([]string{s.cfg.DataDir, place})...)
	if err := errors.Join(s.metrics.Register(w), s.metrics.Register(disks)); err != nil {
		return errors.Join(err, w.Close())
	}
	s.worker.Store(w)
	return nil
}

// runnerProgram is gantry-runner if it is beside this program, else this program, which can do the same but takes longer to start.
func runnerProgram() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	beside := filepath.Join(filepath.Dir(self), runner.Program)
	if _, err := os.Stat(beside); err == nil {
		return []string{beside}, nil
	}
	return []string{self, "runner"}, nil
}

func (s *server) stopWorker(context.Context) error { return s.worker.Load().Close() }

// apiURL is where the worker finds the API: in this process if it is here.
func (s *server) apiURL() string {
	if s.cfg.has(roleAPI) {
		return s.localURL()
	}
	return s.cfg.Address
}

func (c *config) workerName() string {
	if c.WorkerName != "" {
		return c.WorkerName
	}
	return station.Name("local-")
}
