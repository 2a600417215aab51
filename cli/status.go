package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

func (a *app) versionCommand() *cobra.Command {
	return a.outputs(&cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			return a.show(map[string]string{"version": a.env.Version}, func(t *table) { t.line("gantry %s", a.env.Version) })
		},
	})
}

func (a *app) statusCommand() *cobra.Command {
	var wait time.Duration
	cmd := a.connects(a.outputs(&cobra.Command{
		Use: "status", Short: "Tell whether the server is ready (exit code 0) or not (4)", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), wait) },
	}))
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for it, for example 60s")
	return cmd
}

func (a *app) status(ctx context.Context, wait time.Duration) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := a.ready(ctx) // finds the server anew each time: it writes its address when it is ready
		var exit *Exit
		if err == nil || !errors.As(err, &exit) || wait == 0 {
			return err
		}
		select {
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

func (a *app) ready(ctx context.Context) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Ready(ctx)
	var refusal *client.Error
	switch {
	case errors.As(err, &refusal):
		return &Exit{Code: ExitUnreachable, Message: fmt.Sprintf("the server at %s is not ready (%v). Wait for it with gantry status --wait 60s",
			c.Address(), refusal)}
	case err != nil && ctx.Err() == nil:
		return &Exit{Code: ExitUnreachable, Message: a.unreachable(err)}
	case err != nil:
		return err
	}
	view := map[string]string{"status": "ready", "address": c.Address()}
	return a.show(view, func(t *table) { t.line("The server at %s is ready.", c.Address()) })
}
