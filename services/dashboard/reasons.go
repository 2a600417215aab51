package dashboard

import (
	"encoding/json"
	"fmt"
	"strings"
)

// because says in words why terraform does with a resource what it does: the action_reason of its JSON plan.
func because(reason string) string {
	words := map[string]string{
		"replace_because_tainted":           "it is tainted",
		"replace_because_cannot_update":     "it cannot be changed in place",
		"replace_by_request":                "the run asks for it",
		"replace_by_triggers":               "what it is to be replaced with has changed",
		"delete_because_no_resource_config": "the configuration does not have it",
		"delete_because_no_module":          "the configuration does not have its module",
		"delete_because_no_move_target":     "what it was moved to is not in the configuration",
		"delete_because_wrong_repetition":   "count or for_each was added or removed",
		"delete_because_count_index":        "its index is beyond count",
		"delete_because_each_key":           "for_each does not have its key",
		"read_because_config_unknown":       "its configuration is not known yet",
		"read_because_dependency_pending":   "what it depends on changes",
		"read_because_check_nested":         "a check reads it",
	}[reason]
	if words == "" {
		return strings.ReplaceAll(reason, "_", " ")
	}
	return "because " + words
}

// force marks the attributes that force the replacement, by the replace_paths of terraform's JSON plan.
func force(attributes []attribute, paths [][]any) {
	for _, steps := range paths {
		path := ""
		for _, step := range steps {
			switch at := step.(type) {
			case json.Number:
				path += fmt.Sprintf("[%s]", at)
			case string:
				path = strings.TrimPrefix(path+"."+at, ".")
			}
		}
		for i, a := range attributes {
			if below(a.Path, path) {
				attributes[i].Forces = true
			}
		}
	}
}

// below reports whether a path is another one or inside of it.
func below(path, of string) bool {
	rest, found := strings.CutPrefix(path, of)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
