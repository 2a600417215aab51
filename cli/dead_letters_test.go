package cli_test

import (
	"strings"
	"testing"
)

const deadLetter = `{"v":1,"id":7,"subject":"intake.run.org-1","stream":"INTAKE","sequence":3,"at":"2026-01-02T03:04:05Z",` +
	`"failure":{"code":"invalid","field":"options.plan-only","message":"unknown field"},"headers":{"Idempotency-Key":["k"]},"data":"YRtbMkpi","size":6}`

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"list"}, 0, "field options.plan-only: unknown field"},
		{[]string{"show", "7"}, 0, "Header Idempotency-Key"},
		{[]string{"show", "8"}, 1, "dead letter 8 does not exist"},
		{[]string{"show", "x"}, 1, `"x" is not the id`},
		{[]string{"replay", "7"}, 0, "published again on intake.run.org-1"},
		{[]string{"replay", "--all"}, 0, "Dead letter 7"},
		{[]string{"drop", "7"}, 0, "Dropped dead letter 7."},
		{[]string{"drop"}, 1, "name dead letters, or give --all"},
		{[]string{"drop", "7", "--all"}, 1, "name dead letters, or give --all"},
	} {
		x := on(t, newFake(t))
		code := x.run(t, append([]string{"admin", "deadletters"}, c.args...)...)
		if said := x.out.String() + x.err.String(); code != c.code || !strings.Contains(said, c.says) || strings.Contains(said, "\x1b") {
			t.Errorf("%v: got code %d, %q, want code %d saying %q without control characters", c.args, code, said, c.code, c.says)
		}
	}
}
