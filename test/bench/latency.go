package main

import (
	"context"
	"fmt"
	"time"

	"gantry.example/test/bench/figures"
)

// pause is between two measurements: a spare runner is started, a plan is made readable, a folder is removed.
const pause = 200 * time.Millisecond

// resources is a configuration that makes so many resources without a provider.
func resources(count int) string {
	return fmt.Sprintf("resource \"terraform_data\" \"bench\" {\n  count = %d\n  input = count.index\n}\n", count)
}

// latency measures single runs on an idle server.
func (b *bench) latency(ctx context.Context, s *server) error {
	for _, size := range b.sizes {
		b.say("%d × terraform_data, %d times", size.resources, size.times)
		measured, err := b.compare(ctx, s, size)
		if err != nil {
			return err
		}
		b.report.Sizes = append(b.report.Sizes, measured)
	}
	return nil
}

// warmUp lets both sides do once what only the first time costs, and makes sure that they run the same terraform.
func (b *bench) warmUp(ctx context.Context, s *server) error {
	if _, _, err := b.bareOnce(ctx, resources(1)); err != nil {
		return err
	}
	o, err := s.once(ctx, "warm-up", resources(1))
	if err != nil {
		return err
	}
	_, theirs, err := s.history(ctx, o.id)
	if err != nil {
		return err
	}
	ours, err := b.version(ctx)
	if err == nil && theirs != ours {
		err = fmt.Errorf("gantry runs terraform %q, but the one in PATH (%s) is %q: a comparison would say nothing", theirs, b.terraform, ours)
	}
	return err
}

// compare measures both sides in turn; who begins alternates, so that neither always comes second.
func (b *bench) compare(ctx context.Context, s *server, size size) (figures.Size, error) {
	out := figures.Size{Resources: size.resources}
	configuration := resources(size.resources)
	bare := func() error {
		took, steps, err := b.bareOnce(ctx, configuration)
		out.Bare = append(out.Bare, took.Seconds())
		if size.resources == 1 {
			b.report.BareSteps = append(b.report.BareSteps, steps)
		}
		return err
	}
	gantry := func(i int) error {
		o, err := s.once(ctx, fmt.Sprintf("size-%d-%d", size.resources, i), configuration)
		out.Gantry = append(out.Gantry, o.took().Seconds())
		if err == nil && size.resources == 1 {
			err = b.takeApart(ctx, s, o)
		}
		if err != nil {
			return err
		}
		return s.described(ctx, o.id)
	}
	for i := range size.times {
		sides := []func() error{bare, func() error { return gantry(i) }}
		for k := range sides {
			if err := rest(ctx, pause); err != nil {
				return out, err
			}
			if err := sides[(i+k)%2](); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// takeApart notes when the run was started and where its time went, the client's part included.
func (b *bench) takeApart(ctx context.Context, s *server, o outcome) error {
	d, err := s.document(ctx, o.id)
	if err != nil {
		return err
	}
	started, err := d.started()
	if err != nil {
		return fmt.Errorf("run %s: %w", o.id, err)
	}
	b.report.Start = append(b.report.Start, milliseconds(started))
	events, _, err := s.history(ctx, o.id)
	if err != nil {
		return err
	}
	first, last := events[0], events[len(events)-1]
	steps := []figures.Step{{Phase: "client", From: "request", To: first.Type, Took: first.At.Sub(o.asked)}}
	steps = append(steps, figures.Steps(events)...)
	steps = append(steps, figures.Step{Phase: "client", From: last.Type, To: "seen", Took: o.applied.Sub(last.At)})
	b.report.Steps = append(b.report.Steps, steps)
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
