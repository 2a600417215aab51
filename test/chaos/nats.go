package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
)

// publisher is what we need of a connection to NATS. Not for concurrent use.
type publisher interface {
	Publish(subject string, data []byte) error
	FlushTimeout(time.Duration) error
	Close()
}

// connectNATS connects as one of the services, or where NATS is embedded as the worker, and waits until that is done.
func (in *installation) connectNATS(ctx context.Context) (publisher, error) {
	p, err := in.openNATS()
	if err != nil {
		return nil, err
	}
	for p.FlushTimeout(time.Second) != nil { // it may just be starting
		if err := pause(ctx, shortPause); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

func (in *installation) openNATS() (publisher, error) {
	if !in.split() {
		token, err := os.ReadFile(in.path("worker-token"))
		if err != nil {
			return nil, err
		}
		return bus.Connect(bus.ConnectConfig{URL: in.natsURL, Token: strings.TrimSpace(string(token)), Name: "chaos"})
	}
	cluster, err := in.cluster()
	if err != nil {
		return nil, err
	}
	return cluster.Connect("chaos")
}

// cluster is the NATS cluster, for one of the services.
func (in *installation) cluster() (*broker.Cluster, error) {
	creds, err := broker.ReadCredentials(in.path("cluster", "control", "services.json"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(in.path("cluster", "control", "ca.pem"))
	if err != nil {
		return nil, err
	}
	return broker.NewCluster(in.natsURL, nil, creds, ca, slog.New(slog.DiscardHandler))
}

// repeatEvents sends old messages again, in any order, as NATS may do.
func (i *injector) repeatEvents(ctx context.Context, dice *rand.Rand) (string, error) {
	events, err := i.in.oldEvents(ctx, 50)
	for end := time.Now().Add(victimPatience); err != nil && ctx.Err() == nil; events, err = i.in.oldEvents(ctx, 50) {
		if time.Now().After(end) {
			return "", fmt.Errorf("%w: %w", errSkipped, err)
		}
		_ = pause(ctx, shortPause) // Postgres may just be starting
	}
	dice.Shuffle(len(events), func(a, b int) { events[a], events[b] = events[b], events[a] })
	return fmt.Sprintf("%d of them", len(events)), i.publish(ctx, func(p publisher) error {
		for _, e := range events {
			// Without the id by which JetStream would know it.
			if err := p.Publish(messages.StatusSubject(e.pool, e.workspace, e.run, e.attempt), e.body); err != nil {
				return err
			}
		}
		return nil
	})
}

func (i *injector) publish(ctx context.Context, f func(publisher) error) error {
	p, err := i.in.connectNATS(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	return errors.Join(f(p), p.FlushTimeout(victimPatience))
}

// deleteConsumer makes a reader lose its place.
func (i *injector) deleteConsumer(stream, consumer string) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, _ *rand.Rand) (string, error) {
		return consumer, i.publish(ctx, func(p publisher) error {
			return p.Publish("$JS.API.CONSUMER.DELETE."+stream+"."+consumer, nil)
		})
	}
}

// deleteStream takes a stream away with all it holds.
func (i *injector) deleteStream(name string) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		i.logsDeleted = i.logsDeleted || name == messages.LogStream
		if !i.in.split() {
			return i.deleteFolder(ctx, dice, name)
		}
		return "all copies", i.publish(ctx, func(p publisher) error { return p.Publish("$JS.API.STREAM.DELETE."+name, nil) })
	}
}

// deleteFolder does it to an embedded NATS while it is down: nobody has the right to do it otherwise.
func (i *injector) deleteFolder(ctx context.Context, dice *rand.Rand, name string) (string, error) {
	found := false
	what, err := down(ctx, i.part(roleServer, dice), dice, func() error {
		dirs, err := filepath.Glob(i.in.path("data", "nats", "jetstream", "*", "streams", name))
		for _, dir := range dirs {
			found = true
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: there is no such stream", errSkipped)
	}
	return what, err
}
