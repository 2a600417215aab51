package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// k8sRoutes are the calls about the one k8s config of the organization; those that change something are recorded.
func (f *fakeAPI) k8sRoutes(mux *http.ServeMux) {
	const config = `{"id":"kcfg-1","number":3,"name":"prod","organization":"acme","cluster":"kubeconfig","server":"https://10.0.0.1:6443","namespace":"runs",` +
		`"namespaces":["more"],"service_accounts":["deployer"],"pod_template":{"image":"terraform:1"},"runner_image":"gantry:1","max_pods":7,"created_at":"2026-01-02T03:04:05Z"}`
	const secret = `{"id":"at-9","description":"far","created_at":"2026-01-02T03:04:05Z","token":"gantry-s3cret"}`
	one := "/api/gantry/v1/k8s-configs/kcfg-1"
	for pattern, body := range map[string]string{
		"GET /api/gantry/v1/organizations/acme/k8s-configs":  "[" + config + "]",
		"POST /api/gantry/v1/organizations/acme/k8s-configs": config,
		"PATCH " + one:                  config,
		"DELETE " + one:                 ``,
		"GET " + one + "/render":        `{"manifest":"apiVersion: v1\nkind: Pod\n"}`,
		"GET " + one + "/tokens":        "[" + strings.Replace(secret, `,"token":"gantry-s3cret"`, "", 1) + "]",
		"POST " + one + "/tokens":       secret,
		"DELETE " + one + "/tokens/{x}": ``,
		"POST " + one + "/check":        "",
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body := body
			f.mu.Lock()
			defer f.mu.Unlock()
			f.record(r)
			switch {
			case f.failure != "" && r.Method != http.MethodGet:
				refuse(w, http.StatusConflict, f.failure, "workspace acme/net executes there")
				return
			case strings.HasSuffix(pattern, "/check") && f.missing:
				body = `{"ok":false,"findings":[{"what":"rights in runs","ok":false,"problem":"create pods is not allowed","fix":"Apply the Role."}]}`
			case strings.HasSuffix(pattern, "/check"):
				body = `{"ok":true,"findings":[{"what":"quota","ok":true,"note":"2 of 5 Pods"}]}`
			}
			answer(body)(w, r)
		})
	}
}

func TestK8sConfigs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	template, wrong, kubeconfig := filepath.Join(dir, "pod.json"), filepath.Join(dir, "wrong.json"), filepath.Join(dir, "kubeconfig")
	for path, text := range map[string]string{template: `{"image":"terraform:1"}`, wrong: `{"hostNetwork":true}`, kubeconfig: "k"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const path = "/api/gantry/v1/k8s-configs/kcfg-1"
	for _, c := range []struct {
		args    string
		code    int
		says    []string
		call    string // the one that changes something
		missing bool
		failure string
		k8s     bool // the workspace executes in the config
	}{
		{args: "list acme", says: []string{"prod  3       kcfg-1  https://10.0.0.1:6443  runs       7"}},
		{args: "list acme -o json", says: []string{`"id": "kcfg-1"`, `"max_pods": 7`}},
		{args: "show acme/prod", says: []string{"kcfg-1", "deployer", `{"image":"terraform:1"}`, "gantry:1"}},
		{args: "show acme/3", says: []string{"kcfg-1"}},
		{args: "show acme/kcfg-1", says: []string{"kcfg-1"}},
		{args: "show acme/other", code: 1, says: []string{"k8s config acme/other does not exist. See gantry k8s list acme"}},
		{args: "show prod", code: 1, says: []string{`"prod" is not a k8s config: write ORGANIZATION/CONFIG`}},
		{args: "show other/prod", code: 1, says: []string{`organization "other" does not exist`}},
		{args: "new acme/prod --kubeconfig " + kubeconfig + " --namespace runs --pod-template " + template, says: []string{"Created k8s config acme/prod, number 3.", "gantry k8s check acme/prod"},
			call: `POST /api/gantry/v1/organizations/acme/k8s-configs {"name":"prod","kubeconfig":"k","namespace":"runs","pod_template":{"image":"terraform:1"}}`},
		{args: "new acme/prod --remote --in-cluster", code: 1, says: []string{"in-cluster", "remote"}},
		{args: "new acme/prod --pod-template " + wrong, code: 1, says: []string{"hostNetwork"}},
		{args: "edit acme/prod --max-pods 9", says: []string{"Changed k8s config acme/prod."}, call: `PATCH ` + path + ` {"max_pods":9}`},
		{args: "check acme/prod", says: []string{"ok       quota: 2 of 5 Pods"}, call: `POST ` + path + `/check`},
		{args: "check acme/prod", missing: true, code: 1, call: `POST ` + path + `/check`,
			says: []string{"MISSING  rights in runs: create pods is not allowed", "Apply the Role.", "k8s config acme/prod can't carry out runs yet"}},
		{args: "delete acme/prod", says: []string{"Deleted k8s config acme/prod."}, call: `DELETE ` + path},
		{args: "delete acme/prod", failure: "in_use", code: 1, call: `DELETE ` + path, says: []string{"k8s config acme/prod was not deleted", "workspace acme/net executes there"}},
		{args: "render -w acme/net", k8s: true, says: []string{"apiVersion: v1\nkind: Pod\n"}},
		{args: "render -w acme/net", code: 1, says: []string{"workspace acme/net does not execute in a k8s config but"}},
		{args: "render", code: 1, says: []string{"give --workspace ORG/NAME"}},
		{args: "tokens new acme/prod --description far", says: []string{"gantry-s3cret\n", "It is shown this one time"}, call: `POST ` + path + `/tokens {"description":"far"}`},
		{args: "tokens list acme/prod", says: []string{"at-9", "never"}},
		{args: "tokens revoke acme/prod at-9", says: []string{"Revoked token at-9."}, call: `DELETE ` + path + `/tokens/at-9`},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.missing, f.failure = c.missing, c.failure
			if c.k8s {
				f.execution = `{"own":{},"effective":{"execution_mode":"k8s","k8s_config_id":"kcfg-1"}}`
			}
			x := on(t, f)
			code := x.run(t, append([]string{"k8s"}, strings.Fields(c.args)...)...)
			said := x.out.String() + x.err.String()
			if code != c.code {
				t.Errorf("got code %d, %q, want code %d", code, said, c.code)
			}
			for _, text := range c.says {
				if !strings.Contains(said, text) {
					t.Errorf("got %q, want %q in it", said, text)
				}
			}
			calls := slices.Clone(f.calls)
			if want := slices.DeleteFunc([]string{c.call}, func(s string) bool { return s == "" }); !cmp.Equal(calls, want) && len(calls)+len(want) > 0 {
				t.Errorf("got calls %q, want %q", calls, want)
			}
		})
	}
}
