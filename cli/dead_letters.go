package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

func (a *app) deadLettersCommand() *cobra.Command {
	return a.connects(group("deadletters", "See, replay and drop messages that nobody could use",
		a.outputs(&cobra.Command{
			Use: "list", Short: "List them, oldest first", Args: exactly(),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listDeadLetters(cmd.Context()) },
		}),
		a.outputs(&cobra.Command{
			Use: "show ID", Short: "Show one with its headers and body", Args: exactly("ID"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.showDeadLetter(cmd.Context(), args[0]) },
		}),
		a.eachDeadLetter("replay", "Publish messages again where they were published at first",
			"A message that still cannot be used becomes a dead letter again. Replaying the same one twice delivers it once.",
			func(ctx context.Context, c *client.Client, id uint64) (string, error) {
				d, err := c.ReplayDeadLetter(ctx, id)
				return fmt.Sprintf("Dead letter %d is published again on %s.", id, oneLine(d.Subject)), err
			}),
		a.eachDeadLetter("drop", "Delete messages for good", "Nothing waits for a dead letter: dropping one changes no run.",
			func(ctx context.Context, c *client.Client, id uint64) (string, error) {
				return fmt.Sprintf("Dropped dead letter %d.", id), c.DropDeadLetter(ctx, id)
			})))
}

// eachDeadLetter is a command that does something to the dead letters named, or to all.
func (a *app) eachDeadLetter(verb, short, long string, do func(context.Context, *client.Client, uint64) (string, error)) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: verb + " ID...", Short: short, Long: short + ".\n\n" + long,
		Args: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usage(cmd, "name dead letters, or give --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ids, err := letterIDs(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			var failed error
			for _, id := range ids { // one that fails does not keep the others from being done
				said, err := do(cmd.Context(), c, id)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				fmt.Fprintln(a.env.Stdout, said)
			}
			return failed
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, verb+" all there are now")
	return cmd
}

// letterIDs are those given, or of all dead letters where none is.
func letterIDs(ctx context.Context, c *client.Client, args []string) ([]uint64, error) {
	var ids []uint64
	for _, text := range args {
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not the id of a dead letter. See gantry admin deadletters list", text)
		}
		ids = append(ids, id)
	}
	if len(args) > 0 {
		return ids, nil
	}
	letters, err := allDeadLetters(ctx, c)
	for _, d := range letters {
		ids = append(ids, d.ID)
	}
	return ids, err
}

func allDeadLetters(ctx context.Context, c *client.Client) ([]messages.DeadLetter, error) {
	out, after := []messages.DeadLetter{}, uint64(0)
	for {
		some, err := c.DeadLetters(ctx, after)
		if err != nil || len(some) == 0 {
			return out, err
		}
		out, after = append(out, some...), some[len(some)-1].ID
	}
}

func (a *app) listDeadLetters(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := allDeadLetters(ctx, c)
	if err != nil {
		return err
	}
	return a.show(all, func(t *table) {
		if len(all) == 0 {
			t.line("There are no dead letters.")
			return
		}
		t.head("ID", "GIVEN UP", "SUBJECT", "CODE", "REASON")
		for _, d := range all {
			t.row(d.ID, d.At, d.Subject, d.Failure.Code, d.Failure.Error())
		}
	})
}

func (a *app) showDeadLetter(ctx context.Context, text string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ids, err := letterIDs(ctx, c, []string{text})
	if err != nil {
		return err
	}
	d, err := c.DeadLetter(ctx, ids[0])
	if err != nil {
		return missing(err, "dead letter %s does not exist, or not any more. See gantry admin deadletters list", text)
	}
	return a.show(d, func(t *table) {
		t.row("Subject", d.Subject)
		t.row("From", fmt.Sprintf("%s, message %d", d.Stream, d.Sequence))
		t.row("Given up", d.At)
		t.row("Reason", string(d.Failure.Code)+": "+d.Failure.Error())
		for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
			t.row("Header "+name, strings.Join(d.Headers[name], ", "))
		}
		t.row("Size", fmt.Sprintf("%d bytes, %d of them kept", d.Size, len(d.Data)))
		t.line("\n%s", printable(d.Data))
	})
}

// printable is the text of a body as a terminal may see it: a sender decides what is in it.
func printable(b []byte) string {
	if !utf8.Valid(b) {
		return strconv.Quote(string(b))
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, string(b))
}
