package agent

import (
	"fmt"
	"slices"
	"strings"
)

// checkRunEnv finds what --run-env cannot be.
func (s *Settings) checkRunEnv() error {
	for _, name := range s.RunEnv {
		beginning, _ := strings.CutSuffix(name, "*")
		switch {
		case beginning == "" || strings.ContainsAny(beginning, "*= "):
			return fmt.Errorf("--run-env %q: want the name of a variable, or the beginning of names and a *, as AWS_*", name)
		case ofAgent(beginning):
			return fmt.Errorf("--run-env %s: variables of the agent itself are not for runs", name)
		case ofEngine(beginning):
			return fmt.Errorf("--run-env %s: of the engine's variables, TF_…, runs see only values, TF_VAR_…, and credentials of registries, TF_TOKEN_…, because the others would change how the engine works: "+
				"leave it out, or set it as a variable of the workspace", name)
		}
	}
	return nil
}

// ofAgent reports whether the agent itself is told something by the variable, its token above all.
func ofAgent(name string) bool {
	return strings.HasPrefix(name, "GANTRY_") || strings.HasPrefix(name, "TFC_A")
}

// ofEngine reports whether the variable, or any that begins so, tells the engine how to work: where its files and plugins are, what its
// arguments are. A session relies on the absence of those that it does not set.
func ofEngine(name string) bool {
	return strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "TF_VAR_") && !strings.HasPrefix(name, "TF_TOKEN_")
}

// runEnvironment is what runs see of the agent's environment, KEY=VALUE: of the rest, of which some is for the agent only, or for an
// engine that somebody starts by hand, nothing.
func (s *Settings) runEnvironment(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return ofAgent(name) || ofEngine(name) || !slices.ContainsFunc(s.RunEnv, func(wanted string) bool {
			beginning, more := strings.CutSuffix(wanted, "*")
			return name == wanted || more && strings.HasPrefix(name, beginning)
		})
	})
}
