package variable

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Parallelism is TFE's variable for how many things terraform does at once. It is the one flag of terraform that is a
// variable, because TF_CLI_ARGS could change what Gantry relies on.
const Parallelism = "TFE_PARALLELISM"

const maxParallelism = 256 // as in TFE

// checkEnvironment refuses names that no environment can hold, and those that would take away from Gantry what it needs to
// bring a run to its end: where state, plan and settings are, and what terraform prints where.
func checkEnvironment(key, value string) error {
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(key) {
		return &Error{"key", fmt.Sprintf("%q is not the name of an environment variable: use letters, digits and _, and do not begin with a digit", key)}
	}
	if why := reserved(key); why != "" {
		return &Error{"key", fmt.Sprintf("the environment variable %s cannot be set: %s", key, why)}
	}
	if key == Parallelism {
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > maxParallelism {
			return &Error{"value", fmt.Sprintf("%s must be a whole number from 1 to %d", Parallelism, maxParallelism)}
		}
	}
	return nil
}

// reserved says why a run's environment variable is not the user's to set, or "".
func reserved(key string) string {
	for _, r := range []struct {
		keys     []string
		prefixes []string
		why      string
	}{
		{[]string{"TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"}, nil, "every run has a CLI configuration of its own, made by Gantry"},
		{[]string{"TF_DATA_DIR", "TF_PLUGIN_CACHE_DIR", "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE"}, nil, "Gantry decides where terraform keeps its files"},
		{[]string{"TF_WORKSPACE"}, nil, "a run belongs to one workspace of Gantry, which keeps the state"},
		{[]string{"TF_STATE_PERSIST_INTERVAL"}, []string{"TF_HTTP_"}, "Gantry takes care of the state"},
		{[]string{"TF_CLI_ARGS"}, []string{"TF_CLI_ARGS_"}, "Gantry gives terraform its arguments; use " + Parallelism + " for -parallelism, and the options of a run for the rest"},
		{[]string{"TF_LOG_PATH"}, nil, "what terraform prints is the run's log; TF_LOG alone adds to it"},
		{[]string{"TF_REATTACH_PROVIDERS", "TF_IN_AUTOMATION", "TF_INPUT", "CHECKPOINT_DISABLE"}, nil, "Gantry sets how terraform is run"},
		{[]string{"HOME", "TMPDIR"}, nil, "every run has a private folder for it"},
		{[]string{"LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"}, nil, "it would load code into terraform and everything it starts"},
		{[]string{"TFC_RUN_ID", "TFC_WORKSPACE_ID", "TFC_WORKSPACE_NAME", "TFC_WORKSPACE_SLUG"}, nil, "Gantry sets it for every run"},
		{nil, []string{"GANTRY_"}, "the names with GANTRY_ are Gantry's own"},
	} {
		begins := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
		if slices.Contains(r.keys, key) || slices.ContainsFunc(r.prefixes, begins) {
			return r.why
		}
	}
	return ""
}
