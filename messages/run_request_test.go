package messages_test

import (
	"errors"
	"strings"
	"testing"

	"gantry.example/messages"
)

func TestRunRequestsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body  string
		code  messages.Code
		field string
		says  string
	}{
		{``, messages.CodeInvalid, "", "not JSON"},
		{`plan please`, messages.CodeInvalid, "", "not JSON"},
		{`{"workspace_id":"ws-1"} {}`, messages.CodeInvalid, "", "not JSON"},
		{`["ws-1"]`, messages.CodeInvalid, "", "not a JSON object"},
		{`null`, messages.CodeInvalid, "", "not a JSON object"},
		{`{}`, messages.CodeInvalid, "workspace_id", "missing"},
		{`{"workspace_id":7}`, messages.CodeInvalid, "workspace_id", "number"},
		{`{"v":"one","workspace_id":"ws-1"}`, messages.CodeInvalid, "v", "string"},
		{`{"v":-1,"workspace_id":"ws-1"}`, messages.CodeInvalid, "v", "-1"},
		{`{"workspace_id":"ws-1","plan_only":true}`, messages.CodeInvalid, "plan_only", "unknown field"},
		{`{"workspace_id":"ws-1","Message":"m"}`, messages.CodeInvalid, "Message", "unknown field"},
		{`{"v":3,"workspace_id":"ws-1","options":{"dry":true}}`, messages.CodeInvalid, "options.dry", "unknown field to version 1, which is this server's; the request is of version 3"},
		{`{"workspace_id":"ws-1","options":[]}`, messages.CodeInvalid, "options", "must be an object"},
		{`{"workspace_id":"ws-1","options":{"variables":[{"key":"a","value":"1"},{"key":"b","sensitive":true}]}}`, messages.CodeInvalid, "options.variables[1].sensitive", "unknown field"},
		{`{"workspace_id":"ws-1","options":{"variables":[{"value":"geheim"}]}}`, messages.CodeInvalid, "options.variables[0].key", "missing"},
		{`{"workspace_id":"ws-1","options":{"refresh_only":true,"skip_refresh":true}}`, messages.CodeInvalid, "options.refresh_only", "skip_refresh"},
		{`{"workspace_id":"ws-1","execution":{"engine":"pulumi"}}`, messages.CodeExecutionInvalid, "execution.engine", "pulumi"},
		{`{"workspace_id":"ws-1","execution":{"pod_template":{"cpu":1}}}`, messages.CodeExecutionUnknownField, "execution.pod_template.cpu", "unknown field"},
		{`{"workspace_id":"ws-1","execution":[]}`, messages.CodeExecutionInvalid, "execution", "object"},
		{`{"workspace_id":"ws-1","message":"a\u0000b"}`, messages.CodeInvalid, "", "U+0000"},
	} {
		_, err := messages.ParseRunRequest([]byte(c.body))
		var f *messages.Failure
		if !errors.As(err, &f) || f.Code != c.code || f.Field != c.field || !strings.Contains(f.Message, c.says) {
			t.Errorf("%s: got %+v, want code %s at field %q saying %q", c.body, err, c.code, c.field, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error quotes the value of a variable: %v", c.body, err)
		}
	}
}
