package telemetry

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
)

// Formats of the log.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// LogConfig is how a program logs: its flags --log-format and --log-level.
type LogConfig struct {
	Format string // FormatText or FormatJSON
	Level  slog.Level
}

// Validate names the flag that cannot work.
func (c LogConfig) Validate() error {
	if c.Format != FormatText && c.Format != FormatJSON {
		return fmt.Errorf("--log-format %q: must be text or json", c.Format)
	}
	return nil
}

// Flags adds the flags that set c.
func (c *LogConfig) Flags(f *pflag.FlagSet) {
	f.StringVar(&c.Format, "log-format", FormatText, "text or json")
	f.TextVar(&c.Level, "log-level", slog.LevelInfo, "debug, info, warn or error")
}

// Args are the flags that make another program of ours log the same way.
func (c LogConfig) Args() []string {
	return []string{"--log-format", c.Format, "--log-level", c.Level.String()}
}

// New returns the logger that writes to w.
func (c LogConfig) New(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == FormatJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
