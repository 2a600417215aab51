package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"gantry.example/client"
	"gantry.example/messages"
	"gantry.example/test/bench/figures"
)

// remote measures the same on an agent beside the server, which reaches it over HTTPS only.
func (b *bench) remote(ctx context.Context) error {
	kept := b.report
	b.report = figures.Report{}
	err := b.withServer(ctx, func(ctx context.Context, s *server) (err error) {
		a, err := b.startAgent(ctx, s)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, a.stop()) }()
		if err := b.warmUp(ctx, s); err != nil {
			return err
		}
		b.say("on an agent: 1 × terraform_data, %d times", b.agent)
		size, err := b.compare(ctx, s, size{resources: 1, times: b.agent})
		if err != nil || b.rounds == 0 {
			kept.Agent.Size = size
			return err
		}
		kept.Agent.Size = size
		b.say("on an agent:")
		err = b.throughput(ctx, s)
		kept.Agent.Throughput = b.report.Throughput
		return err
	}, "agent")
	b.report = kept
	return err
}

// agentProcess is a running agent.
type agentProcess struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it is gone
}

// startAgent makes a pool that all runs of the organization go to, and starts an agent of it.
func (b *bench) startAgent(ctx context.Context, s *server) (*agentProcess, error) {
	name := "bench"
	pool, err := s.client.CreateAgentPool(ctx, organization, client.AgentPoolChange{Name: &name})
	if err != nil {
		return nil, err
	}
	token, err := s.client.CreateAgentPoolToken(ctx, pool.ID, name, 0)
	if err != nil {
		return nil, err
	}
	doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(pool.ID)}
	if _, err := s.client.PutOrganizationExecution(ctx, organization, doc); err != nil {
		return nil, err
	}
	file := filepath.Join(b.root, "agent-token")
	if err := os.WriteFile(file, []byte(token.Secret), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.root, "agent.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	a := &agentProcess{done: make(chan struct{})}
	a.cmd = exec.Command(filepath.Join(filepath.Dir(b.bin), "gantry-agent"), "--address", "https://"+s.https, "--ca-file", filepath.Join(s.data, "ca.pem"),
		"--token-file", file, "--data-dir", filepath.Join(b.root, "agent-data"), "--concurrency", strconv.Itoa(concurrency))
	a.cmd.Env, a.cmd.Stderr, a.cmd.SysProcAttr = b.serverEnv(), log, &syscall.SysProcAttr{Setpgid: true}
	return a, a.launch(ctx)
}

// launch starts the process and waits for the line "ready …".
func (a *agentProcess) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := a.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan struct{})
	go func() {
		defer close(a.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "ready ") {
				close(ready)
				break
			}
		}
		_ = a.cmd.Wait() // how it ended is in its log
	}()
	select {
	case <-ready:
		return nil
	case <-a.done:
		return errors.New("the agent ended before it was ready")
	case <-ctx.Done():
		return fmt.Errorf("the agent is not ready: %w", errors.Join(context.Cause(ctx), a.stop()))
	}
}

// stop drains the agent.
func (a *agentProcess) stop() error {
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-a.done
	return nil
}
