package k8s_test

import (
	"context"
	"errors"
	"io"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gantry.example/workers/k8s"
)

// TestClassifyCreate: what is worth another try is told from what is not, and a quota from both.
func TestClassifyCreate(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	for _, tt := range []struct {
		name  string
		err   error
		kind  k8s.Kind
		class string
		again bool
	}{
		{"nothing", nil, "", "", false},
		{"caller gave up", context.Canceled, "", "", false},
		{"quota", apierrors.NewForbidden(pods, "a", errors.New("exceeded quota: runs")), k8s.Waiting, "waiting.quota", false},
		{"quota changed meanwhile", apierrors.NewConflict(schema.GroupResource{Resource: "resourcequotas"}, "runs", errors.New("modified")), k8s.Waiting, "waiting.quota", false},
		{"quota not evaluated", apierrors.NewInternalError(errors.New("resource quota evaluation timed out")), k8s.Waiting, "waiting.quota", false},
		{"pod security", apierrors.NewForbidden(pods, "a", errors.New(`violates PodSecurity "restricted:latest"`)), k8s.Failed, "config.rejected", false},
		{"no right", apierrors.NewForbidden(pods, "a", errors.New(`User "x" cannot create resource "pods"`)), k8s.Failed, "config.rejected", false},
		{"API server that starts", apierrors.NewForbidden(pods, "a", errors.New(`cannot create: rbac: RBAC: [clusterrole "system:discovery" not found]`)), k8s.Failed, "api.transient", true},
		{"no namespace", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "a"), k8s.Failed, "config.rejected", false},
		{"foreign", apierrors.NewAlreadyExists(pods, "a"), k8s.Failed, "platform.name_collision", false},
		{"credentials", apierrors.NewUnauthorized("who"), k8s.Failed, "api.transient", true},
		{"busy", apierrors.NewTooManyRequests("later", 1), k8s.Failed, "api.transient", true},
		{"down", apierrors.NewServiceUnavailable("etcd"), k8s.Failed, "api.transient", true},
		{"cut off", io.ErrUnexpectedEOF, k8s.Failed, "api.transient", true},
		{"too slow", context.DeadlineExceeded, k8s.Failed, "api.transient", true},
	} {
		got := k8s.ClassifyCreate(tt.err)
		if got.Kind != tt.kind || got.Class != tt.class || got.Again != tt.again || (got.Message == "") != (tt.class == "") {
			t.Errorf("%s: got %+v, want kind %q, class %q, again %v and a message", tt.name, got, tt.kind, tt.class, tt.again)
		}
	}
}
