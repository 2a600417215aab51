package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"gantry.example/internal/lifecycle"
)

// role is a part of the platform that a server can have. By default one has them all; each may run any number of times.
type role string

const (
	roleAPI        role = "api" // and who gets into NATS
	roleRelay      role = "relay"
	roleLogs       role = "logs"
	roleProjector  role = "projector"
	roleObserver   role = "observer"
	roleIntake     role = "intake"
	roleReconciler role = "reconciler"
	roleKeeper     role = "keeper"
	roleWorker     role = "worker"
	roleDispatcher role = "dispatcher" // Pods of the clusters that this server reaches itself
)

// services are the roles that need the database and speak to NATS as ourselves. A worker needs neither.
func services() []role {
	return []role{roleAPI, roleRelay, roleLogs, roleProjector, roleObserver, roleIntake, roleReconciler, roleKeeper}
}

// storing are the roles that need the database. A dispatcher finds its k8s configs there, and is a worker in all else.
func storing() []role { return append(services(), roleDispatcher) }

func allRoles() []role { return append(storing(), roleWorker) }

func roleNames(roles []role) []string {
	out := make([]string, len(roles))
	for i, r := range roles {
		out[i] = string(r)
	}
	return out
}

// has reports whether the server has one of the roles.
func (c *config) has(roles ...role) bool {
	return slices.ContainsFunc(roles, func(r role) bool { return slices.Contains(c.Roles, string(r)) })
}

// validateRoles reports what the roles need and do not have.
func (c *config) validateRoles() error {
	known := roleNames(allRoles())
	for _, r := range c.Roles {
		if !slices.Contains(known, r) {
			return fmt.Errorf("--roles: %q is none of %s", r, strings.Join(known, ", "))
		}
	}
	var missing []string
	for _, r := range services() {
		if !c.has(r) {
			missing = append(missing, string(r))
		}
	}
	serving := c.has(services()...)
	switch {
	case len(c.Roles) == 0:
		return fmt.Errorf("--roles is empty: want some of %s", strings.Join(known, ", "))
	case len(missing) > 0 && c.NATSURL == "":
		return fmt.Errorf("--nats-url is required with --roles %s: %s run elsewhere and meet this server there", strings.Join(c.Roles, ","), strings.Join(missing, ", "))
	case len(missing) > 0 && c.has(storing()...) && c.DatabaseURL == "":
		return fmt.Errorf("--database-url is required with --roles %s: %s run elsewhere and share the database", strings.Join(c.Roles, ","), strings.Join(missing, ", "))
	case c.NATSURL != "" && serving && c.NATSCredentials == "":
		return errors.New("--nats-credentials-file is required with --nats-url: gantry admin nats-config makes it, with the configuration of the NATS servers")
	case c.has(roleWorker) && !c.has(roleAPI) && (c.Address == "" || c.WorkerTokenFile == ""):
		return errors.New("--address and --worker-token-file are required for a worker without the api role: where the API is, and the token of its pool")
	case c.has(roleDispatcher) && !c.has(roleAPI) && c.Address == "":
		return errors.New("--address is required for a dispatcher without the api role: where it and its Pods reach the API")
	}
	return c.validateNATS()
}

// validateNATS checks where NATS is. Tokens travel there, so it takes TLS to go further than this machine.
func (c *config) validateNATS() error {
	if c.NATSURL == "" {
		if len(c.NATSWebSocketURL) > 0 {
			return errors.New("--nats-websocket-url is for the cluster of --nats-url, which is missing: the embedded NATS needs none")
		}
		if c.Replicas > 1 {
			return fmt.Errorf("--replicas %d: the embedded NATS is one server and keeps one copy; give --nats-url of a cluster", c.Replicas)
		}
		return nil
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return fmt.Errorf("--replicas %d: want 1, 3 or 5 copies of every stream", c.Replicas)
	}
	for _, text := range strings.Split(c.NATSURL, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Hostname() == "" || u.Scheme != "tls" && u.Scheme != "nats" || u.User != nil {
			return errors.New("--nats-url: want tls://host:port, several separated by commas, without user and password")
		}
		if ip := net.ParseIP(u.Hostname()); u.Scheme == "nats" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("--nats-url %s: use tls://; without TLS tokens would be shown to the network", u.Host)
		}
	}
	for _, text := range c.NATSWebSocketURL {
		if u, err := url.Parse(text); err != nil || u.Hostname() == "" || u.Scheme != "wss" || strings.Trim(u.Path, "/") != "" {
			return fmt.Errorf("--nats-websocket-url %q: want wss://host:port", text)
		}
	}
	return nil
}

// replicas is how many copies the streams have.
func (c *config) replicas() int {
	switch {
	case c.Replicas > 0:
		return c.Replicas
	case c.NATSURL != "":
		return 3
	}
	return 1
}

// part is a part of the server and the roles that need it; none means that all do.
type part struct {
	roles []role
	lifecycle.Part
}

// wanted leaves the parts out that nobody needs here.
func (c *config) wanted(all []part) []lifecycle.Part {
	var out []lifecycle.Part
	for _, p := range all {
		if len(p.roles) == 0 || c.has(p.roles...) {
			out = append(out, p.Part)
		}
	}
	return out
}
