package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"gantry.example/internal/forwarded"
	"gantry.example/services/api"
	"gantry.example/services/dashboard"
	"gantry.example/services/notify"
	"gantry.example/workers/k8s"
)

// Limits of one HTTP connection. There is none for a whole request or answer: logs and events stream for hours.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 10 * time.Second
)

// prepareHTTP makes everything that can fail at a start, before anybody is told that the server is ready.
func (s *server) prepareHTTP(ctx context.Context) error {
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	s.endStreams = endStreams
	handler, err := s.handler(ctx, streams)
	if err != nil {
		return err
	}
	if handler, err = s.ofProxies(handler); err != nil {
		return err
	}
	for _, l := range []struct {
		ln      net.Listener
		conf    *tls.Config
		handler http.Handler
	}{{s.http, nil, s.answersACME(handler)}, {s.https, s.tls, handler}} {
		if l.ln == nil {
			continue
		}
		s.sites = append(s.sites, site{l.ln, &http.Server{
			Handler: l.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, TLSConfig: l.conf,
			ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		}})
	}
	return nil
}

// site is a listener and what serves on it.
type site struct {
	net.Listener
	srv *http.Server
}

// serveHTTP serves the API and pages on every listener until ctx ends, then lets running requests finish. Open streams end
// at once: their readers come back to the next server.
func (s *server) serveHTTP(ctx context.Context) error {
	if len(s.sites) == 0 {
		<-ctx.Done()
		return nil
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, l := range s.sites {
		group.Go(func() error {
			if err := serveOn(l.srv, l.Listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve on %s: %w", l.Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-gctx.Done()
			s.endStreams()
			stop, cancel := context.WithTimeout(context.WithoutCancel(gctx), stopTimeout)
			defer cancel()
			if err := l.srv.Shutdown(stop); err != nil {
				return l.srv.Close()
			}
			return nil
		})
	}
	return group.Wait()
}

func serveOn(srv *http.Server, ln net.Listener) error {
	if srv.TLSConfig != nil {
		return srv.ServeTLS(ln, "", "")
	}
	return srv.Serve(ln)
}

// handler is everything the server answers. streams ends the answers that would go on for ever.
func (s *server) handler(ctx, streams context.Context) (http.Handler, error) {
	mux := http.NewServeMux()
	api.Probes(mux, s.readiness)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{Registry: s.metrics}))
	if !s.cfg.has(roleAPI) {
		return mux, nil
	}
	networks, err := forwarded.Parse(s.cfg.NotificationNetworks)
	if err != nil {
		return nil, err
	}
	s.receivers = notify.NewSender(s.publicURL(), notify.Networks(networks))
	a, err := api.New(streams, api.Config{
		DB: s.db, Notifier: s.notifier, PublicURL: s.publicURL(), SigningKey: s.signing, Version: s.version, Log: s.log,
		Registerer: s.metrics, Traces: s.traces != nil, Fail: s.fail, Backup: s.writeBackup, DeadLetters: s.bus.DeadLetters(),
		RateLimit:  s.cfg.RateLimit,
		Receivers:  s.receivers,
		Kubernetes: k8s.Clusters{RunnerImage: s.cfg.RunnerImage, UserAgent: "gantry/" + s.version},
	})
	if err != nil {
		return nil, err
	}
	s.api = a
	s.pages, err = dashboard.New(streams, dashboard.Config{
		DB: s.db, Notifier: s.notifier, LogURL: a.LogURL, PublicURL: s.publicURL(), API: a.As, Streams: s.bus, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	mux.Handle("/nats", s.broker.Gateway())
	a.Register(mux)
	s.pages.Register(mux)
	return mux, nil
}
