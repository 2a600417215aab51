package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/internal/bus"
	"gantry.example/internal/host"
	"gantry.example/internal/pki"
	"gantry.example/messages"
	"gantry.example/workers/process"
	"gantry.example/workers/queue"
	"gantry.example/workers/runner"
)

// claimBudget is how long one claim is repeated before its message goes back to the queue.
const claimBudget = 2 * time.Second

// runWorker is the local worker. It reaches the server the way every worker does, over HTTP and NATS with its pool's token,
// and shares nothing with it but the process.
func (s *server) runWorker(ctx context.Context) (err error) {
	ca, err := s.trusted()
	if err != nil {
		return err
	}
	transport, err := client.NewTransport(client.Config{Address: s.localURL(), Token: s.pool, CACert: ca, Budget: claimBudget})
	if err != nil {
		return err
	}
	defer transport.Close()
	name := workerName()
	nc, err := bus.Connect(bus.ConnectConfig{URL: s.nats.ClientURL(), Token: s.pool, Name: name, Log: s.log})
	if err != nil {
		return err
	}
	defer nc.Close()
	b, err := bus.New(nc)
	if err != nil {
		return err
	}
	place, err := s.placeRuns()
	if err != nil {
		return err
	}
	exec, err := s.executor(ca, place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, exec.Close()) }()
	space := room{dir: workDir(place), min: uint64(s.cfg.MinFreeDisk), exec: exec}
	claims := client.NewPool(transport)
	w, err := queue.New(queue.Config{
		Name: name, Pool: messages.LocalPool, Slots: s.cfg.Concurrency, Tasks: b.TaskQueue(messages.LocalPool, nil, s.log),
		Claims: claims, Executor: exec, Events: b, Log: s.log,
		Passed: s.fail.Hit, Ready: space.ready,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(s.metrics.Register(w), s.metrics.Register(host.NewMetrics(s.log, slices.Compact([]string{s.cfg.DataDir, place})...))); err != nil {
		return err
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	inRun, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() { w.Announce(inRun, claims) })
	beside.Go(func() { space.tidy(inRun) })
	return w.Run(ctx)
}

// workDir is where the local worker's runners work.
func workDir(place string) string { return filepath.Join(place, "work") }

// executor runs runners as child processes of this program.
func (s *server) executor(ca []byte, place string) (*process.Executor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	releases, err := s.cfg.Engines.releases()
	if err != nil {
		return nil, err
	}
	return process.New(process.Config{
		Command: append([]string{self, "runner"}, s.cfg.Log.Args()...),
		Dir:     workDir(place),
		Users:   s.users,
		Assignment: runner.Assignment{
			Address: s.localURL(), CACert: string(ca), NATSURL: s.nats.ClientURL(), CacheDir: filepath.Join(place, "cache"),
			SetupLimit: s.cfg.StartWithin, Releases: releases, Providers: s.cfg.Engines.providers(),
			LogLimit: int64(s.cfg.LogLimit), //nolint:gosec // no log is as large
		},
		Log: s.log, Output: os.Stderr,
	})
}

// trusted is the authority of the server's own certificate, where programs here have to use HTTPS.
func (s *server) trusted() ([]byte, error) {
	if s.http != nil || s.cfg.TLSCert != "" {
		return nil, nil
	}
	return os.ReadFile(filepath.Join(s.cfg.DataDir, pki.CAFile))
}

// workerName is the host's name as NATS takes it.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	name := strings.Map(func(r rune) rune {
		if messages.ValidName(string(r)) {
			return r
		}
		return '-'
	}, host)
	return "local-" + name[:min(len(name), messages.MaxNameLength-len("local-"))]
}
