// Package settings fills a command's flags from the environment and a file. Precedence: flag > GANTRY_* > GANTRY_*_FILE >
// configuration file > default. An agent's variables begin with AgentPrefix instead.
package settings

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

const prefix = "GANTRY_"

// AgentPrefix is that of an agent's variables, which may be set on a machine that has a server's too.
const AgentPrefix = prefix + "AGENT_"

// EnvName is the environment variable of a flag: GANTRY_DATA_DIR for data-dir.
func EnvName(flag string) string { return envName(prefix, flag) }

func envName(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Load sets every flag that was not given. getenv reads the environment; file is a YAML map of flag names to values, "" for
// none. Errors name the variable, key or file that is wrong.
func Load(flags *pflag.FlagSet, getenv func(string) string, file string) error {
	return LoadAs(prefix, flags, getenv, file)
}

// LoadAs is Load with variables of another prefix.
func LoadAs(prefix string, flags *pflag.FlagSet, getenv func(string) string, file string) error {
	values, err := read(file)
	if err != nil {
		return err
	}
	for key := range values {
		if flags.Lookup(key) == nil {
			return fmt.Errorf("configuration file %s: unknown setting %q", file, key)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed {
			return
		}
		err = set(f, envName(prefix, f.Name), getenv, values, file)
	})
	return err
}

func set(f *pflag.Flag, name string, getenv func(string) string, values map[string]string, file string) error {
	value, fromFile := getenv(name), getenv(name+"_FILE")
	if value != "" && fromFile != "" {
		return fmt.Errorf("%s and %s_FILE are both set: set one", name, name)
	}
	source := name
	switch {
	case value != "":
	case fromFile != "":
		source = name + "_FILE"
		b, err := os.ReadFile(fromFile)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		value = strings.TrimRight(string(b), "\r\n")
	default:
		v, ok := values[f.Name]
		if !ok {
			return nil
		}
		value, source = v, file+": "+f.Name
	}
	if err := f.Value.Set(value); err != nil {
		return fmt.Errorf("%s: %q: %w", source, value, err)
	}
	return nil
}

func read(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", file, err)
	}
	out := make(map[string]string, len(raw))
	for k, v := range raw {
		out[k] = fmt.Sprint(v)
	}
	return out, nil
}
