package api

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// kept are attributes of TFE's objects that Gantry stores and shows to TFE's clients and does nothing about, by name, with
// what they are as long as nobody set them: docs/tfe-compatibility.md names them. (Of allow-destroy-plan and
// auto-apply-run-trigger package postgres takes notice.) What would be a promise that is not kept (that a
// workspace destroys itself, that tokens of users do not work) is none of them: see fixed.
type kept map[string]any

// fixed are attributes whose value is the only one that is true on this server. Another one is refused.
type fixed map[string]any

func organizationKept() (kept, fixed) {
	return kept{
			"cost-estimation-enabled": false, "stacks-enabled": false, "owners-team-saml-role-id": "", "send-passing-statuses-for-untriggered-speculative-plans": false,
			"aggregated-commit-status-enabled": false, "speculative-plan-management-enabled": true, "allow-force-delete-workspaces": false,
		}, fixed{
			"assessments-enforced": false, "collaborator-auth-policy": "password", "enforce-hyok": false, "max-ttl-enabled": false, "user-tokens-enabled": true,
			"saml-enabled": false, "is-unified": false, "two-factor-conformant": false, "remaining-testable-count": 5.0,
			"session-remember": 20160.0, "session-timeout": 20160.0, // minutes; see package dashboard
		}
}

func workspaceKept() (kept, fixed) {
	return kept{
			"assessments-enabled": false, "auto-apply-run-trigger": false, "allow-destroy-plan": true, "file-triggers-enabled": true, "global-remote-state": false,
			"project-remote-state": false, "queue-all-runs": false, "speculative-enabled": true, "source-name": "", "source-url": "",
			"trigger-prefixes": []string{}, "trigger-patterns": []string{}, "migration-environment": "",
		}, fixed{
			"auto-destroy-at": nil, "auto-destroy-activity-duration": nil, "hyok-enabled": false, "vcs-repo": nil, "environment": "default",
		}
}

func projectKept() (kept, fixed) {
	return kept{}, fixed{"is-unified": false, "auto-destroy-activity-duration": nil}
}

// shown are the attributes as they are shown: those of stored, a JSON object, over what they are at first.
func (k kept) shown(f fixed, stored []byte) (map[string]any, error) {
	var have map[string]any
	if err := json.Unmarshal(stored, &have); err != nil {
		return nil, fmt.Errorf("kept attributes: %w", err)
	}
	out := map[string]any{}
	for name, first := range f {
		out[name] = first
	}
	for name, first := range k {
		out[name] = first
		if value, set := have[name]; set {
			out[name] = value
		}
	}
	return out, nil
}

// keep reads from the body which of the attributes it sets, as a JSON object to store. Others than those are not its business.
func (r *request) keep(k kept, f fixed) (json.RawMessage, error) {
	var doc struct {
		Data struct {
			Attributes map[string]json.RawMessage `json:"attributes"`
		} `json:"data"`
	}
	_ = json.Unmarshal(r.body, &doc) // decodeObject had no objection
	out := map[string]json.RawMessage{}
	for name, raw := range doc.Data.Attributes {
		if only, isFixed := f[name]; isFixed {
			var value any
			if err := json.Unmarshal(raw, &value); err != nil || value != nil && value != only {
				return nil, invalid("field %s: %s is not possible on this server, only %v", name, raw, shownJSON(only))
			}
		}
		first, isKept := k[name]
		if !isKept || string(raw) == "null" {
			continue
		}
		if json.Unmarshal(raw, reflect.New(reflect.TypeOf(first)).Interface()) != nil {
			return nil, invalid("field %s: want %s", name, wants(reflect.TypeOf(first)))
		}
		out[name] = raw
	}
	return json.Marshal(out)
}

func shownJSON(v any) string {
	b, _ := json.Marshal(v) // of the tables above: cannot fail
	return string(b)
}

// keeper is a document with kept attributes beside those of its fields.
type keeper interface{ keptAttributes() map[string]any }

// more are such attributes. A document embeds them.
type more struct{ attributes map[string]any }

func (m more) keptAttributes() map[string]any { return m.attributes }

// keptShown shows the kept attributes of a kind of object.
func keptShown(of func() (kept, fixed), stored []byte) (map[string]any, error) {
	k, f := of()
	return k.shown(f, stored)
}
