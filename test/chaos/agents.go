package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gantry.example/client"
	"gantry.example/messages"
)

// roleAgent is an agent: it reaches nothing but the API, and NATS behind it.
const roleAgent role = "agent"

// addAgents makes a pool and starts agents of it, each behind a link of its own.
func (in *installation) addAgents(ctx context.Context, agents int) error {
	if agents == 0 || !in.split() {
		return nil
	}
	program := filepath.Join(filepath.Dir(in.bin), "gantry-agent")
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("no agent to test, -agents 0 goes without: %w", err)
	}
	name := "chaos"
	pool, err := in.client.CreateAgentPool(ctx, "default", client.AgentPoolChange{Name: &name})
	if err != nil {
		return err
	}
	token, err := in.client.CreateAgentPoolToken(ctx, pool.ID, "chaos", 0)
	if err != nil {
		return err
	}
	if err := os.WriteFile(in.path("agent-token"), []byte(token.Secret), 0o600); err != nil {
		return err
	}
	in.pools = append(in.pools, pool.ID)
	for n := range agents {
		l, err := newLink(ctx, in.apis)
		if err != nil {
			return err
		}
		in.links = append(in.links, l)
		name := fmt.Sprintf("agent%d", n)
		args := []string{
			program, "--address", "http://" + l.addresses[0], "--token-file", in.path("agent-token"), "--name", name, "--data-dir", in.path(name),
			"--concurrency", "3", "--min-free-disk", "0",
		}
		if os.Geteuid() == 0 {
			first := 2_060_000_000 + 1000*n
			args = append(args, "--run-as", fmt.Sprintf("%d-%d", first, first+999))
		}
		p := in.add(roleAgent, args...)
		in.hosts = append(in.hosts, host{worker: p, dir: in.path(name), link: l})
		p.start()
	}
	return nil
}

// useAgents has the user's runs carried out in the pool of agents, instead of on the local workers.
func (u *user) useAgents(ctx context.Context) error {
	if len(u.in.pools) < 2 {
		return errors.New("there is no pool of agents")
	}
	_, err := u.in.client.PutExecution(ctx, u.id, messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(u.in.pools[1])})
	return err
}
