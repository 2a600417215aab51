package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/workers/dispatcher"
	"gantry.example/workers/k8s"
)

// lookEvery is between two looks for a change of the k8s config.
const lookEvery = 5 * time.Second

// follow dispatches as the k8s config says, and after a change of it as it says then, until ctx ends. Pods do not notice.
func (c config) follow(ctx context.Context, d dispatcher.Config, seen *late) error {
	transport, err := client.NewTransport(client.Config{Address: d.Address, Token: d.Token, CACert: d.CACert})
	if err != nil {
		return err
	}
	defer transport.Close()
	configs := client.NewPool(transport)
	cfg, err := configs.K8sConfig(ctx) // waits for a server that is not there
	for err == nil && ctx.Err() == nil {
		cfg, err = c.until(ctx, d, cfg, configs, seen)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// until dispatches as this version of the config says, and returns the next one.
func (c config) until(ctx context.Context, d dispatcher.Config, cfg wire.K8sConfig, configs *client.Pool, seen *late) (wire.K8sConfig, error) {
	if d.Pods = k8s.ConfigOf(cfg, c.RunnerImage); d.Pods.RunnerImage == "" {
		return cfg, errors.New("--runner-image is required: neither it nor the k8s config says which image brings the runner into Pods")
	}
	run, err := dispatcher.New(d)
	if err != nil {
		return cfg, err
	}
	defer run.Close()
	seen.Store(run)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		defer stop() // nobody waits for a change of what does not run
		done <- run.Run(ctx)
	}()
	next := changed(ctx, configs, cfg, d.Log)
	stop()
	return next, <-done
}

// changed returns the config as soon as it is another version, or ctx ends.
func changed(ctx context.Context, configs *client.Pool, cfg wire.K8sConfig, log *slog.Logger) wire.K8sConfig {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return cfg
		}
		now, err := configs.K8sConfig(ctx)
		switch {
		case err != nil: // what was said before stands; who asks for tasks notices what is wrong
			log.Debug("the k8s config was not read, trying again", "error", err)
		case now.Version != cfg.Version:
			log.Info("the k8s config was changed", "config", cfg.ID, "version", now.Version)
			return now
		}
	}
}
