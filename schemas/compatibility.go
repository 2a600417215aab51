package schemas

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry.example/services/api"
)

// CompatibilityPage is where Compatibility belongs, below the root of the repository.
const CompatibilityPage = "docs/tfe-compatibility.md"

// What it is made from.
const (
	endpointsFile = "test/tfe/endpoints.txt"
	upstreamFile  = "test/tfe/upstream.txt"
)

// endpoint is a line of test/tfe/endpoints.txt: a call of TFE's API, and what Gantry makes of it.
type endpoint struct {
	answer, proof string // yes, partly or no; suite where go-tfe's own tests call it, own where only ours do
	call          string // method and path
	note          string // what differs, or why there is none
}

// Compatibility makes the page that tells users of TFE's API what works: from the calls there are, and from the list of go-tfe's
// own tests that pass. It fails where the list of calls is not that of the server.
func Compatibility(root string) ([]byte, error) {
	endpoints, err := readEndpoints(filepath.Join(root, endpointsFile))
	if err != nil {
		return nil, err
	}
	if err := matchRoutes(endpoints); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, upstreamFile))
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(compatibilityHead)
	for _, e := range endpoints {
		proof := map[string]string{"suite": "go-tfe's", "own": "ours"}[e.proof]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.call, e.answer, proof, e.note)
	}
	writeUpstream(&b, string(text))
	return []byte(b.String()), nil
}

const compatibilityHead = `# Compatibility with the API of Terraform Enterprise and HCP Terraform

This page is generated (` + "`make generate`" + `) from ` + "`test/tfe/endpoints.txt`" + ` and ` + "`test/tfe/upstream.txt`" + `; ` + "`make e2e`" + ` checks both against a running server.

**yes**: as in TFE. **partly**: what differs is beside it. **no**: answered with 404 (or 405) in JSON:API. *Tests* says which call it: go-tfe's own
integration tests (v1.109.0, the last release that has them), or only ours.

What holds everywhere: lists have ` + "`page[number]`, `page[size]`" + ` and ` + "`meta.pagination`" + `; errors are JSON:API documents with a ` + "`code`" + ` of Gantry's beside TFE's fields; creates
take an ` + "`Idempotency-Key`" + `; an ` + "`include`" + ` that is not known is ignored; users are named by name where a run or comment names them. Attributes of TFE that mean
nothing here are kept and shown as they were written (` + "`file-triggers-enabled`, `queue-all-runs`, `global-remote-state`, `assessments-enabled` …" + `). Those that would be a
promise (` + "`auto-destroy-at`, `user-tokens-enabled`, `session-timeout`, `vcs-repo` …" + `) are refused unless they are what is true.

Not there at all: policies, stacks, the private registry, run tasks, cost estimation, version control connections, SSH keys, audit trails, HYOK, the admin API.

## Calls

| call | works | tests | what differs |
|---|---|---|---|
`

func readEndpoints(path string) ([]endpoint, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []endpoint
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		e := endpoint{}
		if len(words) >= 4 {
			e = endpoint{answer: words[0], proof: words[1], call: words[2] + " " + words[3], note: strings.Join(words[4:], " ")}
		}
		if !slices.Contains([]string{"yes", "partly", "no"}, e.answer) || (e.answer == "yes") != (e.note == "") {
			return nil, fmt.Errorf("%s: got the line %q, want yes|partly|no, suite|own|-, METHOD, PATH and, but for yes, a note", path, strings.TrimSpace(line))
		}
		out = append(out, e)
	}
	return out, nil
}

// matchRoutes reports a call of the server that the list does not have, or the other way around.
func matchRoutes(endpoints []endpoint) error {
	there := map[string]bool{}
	for _, r := range api.Describe() {
		if strings.HasPrefix(r.Pattern, "/api/v2/") {
			there[r.Method+" "+r.Pattern] = true
		}
	}
	for _, e := range endpoints {
		if (e.answer != "no") != there[e.call] {
			return fmt.Errorf("%s says %q of %s, and the server says otherwise", endpointsFile, e.answer, e.call)
		}
		delete(there, e.call)
	}
	for call := range there {
		return fmt.Errorf("%s has no line for %s", endpointsFile, call)
	}
	return nil
}

// writeUpstream adds what go-tfe's own tests say.
func writeUpstream(b *strings.Builder, text string) {
	var pass, parts, skipped int
	reasons, whole := map[string][]string{}, map[string]int{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "pass" || words[0] == "user" && !strings.Contains(words[1], "/"):
			pass++
		case strings.Contains(words[1], "/"):
			parts++
			reason := strings.Join(words[2:], " ")
			reasons[reason] = append(reasons[reason], words[1])
		default:
			skipped++
			whole[strings.Join(words[2:], " ")]++
		}
	}
	fmt.Fprintf(b, "\n## go-tfe's own tests\n\n%d tests run and pass, without %d of their parts; %d are not run.\n\n| parts left out, because | tests |\n|---|---|\n", pass, parts, skipped)
	for _, reason := range sorted(reasons) {
		fmt.Fprintf(b, "| %s | %s |\n", reason, strings.Join(reasons[reason], "<br>"))
	}
	b.WriteString("\n| tests not run, because | number |\n|---|---|\n")
	for _, reason := range sorted(whole) {
		fmt.Fprintf(b, "| %s | %d |\n", strings.ReplaceAll(reason, "|", "\\|"), whole[reason])
	}
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
