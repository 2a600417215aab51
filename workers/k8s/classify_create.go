package k8s

import (
	"context"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ClassifyCreate tells what it means that the API server did not make a Pod or what belongs to it. Failed with Again is worth trying
// again under the same name, after a look at what is there; Waiting is for quota, which somebody may free. The zero Verdict is for
// what says nothing about the cluster: no error, and the end of the caller's own time.
func ClassifyCreate(err error) Verdict {
	var status apierrors.APIStatus
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return Verdict{}
	case isQuota(err):
		return Verdict{Kind: Waiting, Class: "waiting.quota", Message: "The quota of the namespace is used up: " + sentence(err)}
	case apierrors.IsAlreadyExists(err):
		return Verdict{Kind: Failed, Class: "platform.name_collision", Message: "Something else has the name of the Pod: " + sentence(err)}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "RBAC: "): // an API server that starts does not know its roles yet
		return Verdict{Kind: Failed, Class: "api.transient", Again: true, Message: "The cluster can't tell what the dispatcher may do: " + sentence(err)}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "PodSecurity"):
		return Verdict{Kind: Failed, Class: "config.rejected", Message: "The namespace's pod security does not admit the Pod: " + sentence(err)}
	case lacksRight(err):
		return Verdict{Kind: Failed, Class: "config.rejected", Message: "The cluster's roles do not let the dispatcher do what it must: " + sentence(err)}
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsNotFound(err), apierrors.IsRequestEntityTooLargeError(err):
		return Verdict{Kind: Failed, Class: "config.rejected", Message: "The cluster does not admit the Pod: " + sentence(err)}
	case apierrors.IsUnauthorized(err): // credentials are renewed now and then, and nothing is wrong with the Pod
		return Verdict{Kind: Failed, Class: "api.transient", Again: true, Message: "The cluster does not know the dispatcher's credentials: " + sentence(err)}
	case !errors.As(err, &status), apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsServiceUnavailable(err),
		apierrors.IsTimeout(err), apierrors.IsInternalError(err), apierrors.IsConflict(err), errors.Is(err, context.DeadlineExceeded):
		return Verdict{Kind: Failed, Class: "api.transient", Again: true, Message: "The cluster does not answer well: " + sentence(err)}
	default:
		return Verdict{Kind: Failed, Class: "config.rejected", Message: "The cluster does not admit the Pod: " + sentence(err)}
	}
}

// isQuota recognizes the three ways in which a quota says no, of which only one has a code of its own.
func isQuota(err error) bool {
	text := err.Error()
	return apierrors.IsForbidden(err) && strings.Contains(text, "exceeded quota") ||
		apierrors.IsConflict(err) && strings.Contains(text, "resourcequota") ||
		apierrors.IsInternalError(err) && strings.Contains(text, "quota evaluation timed out")
}

// lacksRight recognizes the answer of the cluster's roles, as opposed to that of an admission controller.
func lacksRight(err error) bool {
	text := err.Error()
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		text = status.Status().Message
	}
	return apierrors.IsForbidden(err) && strings.Contains(text, `User "`) && strings.Contains(text, `" cannot `)
}

func sentence(err error) string { return strings.TrimRight(err.Error(), ". ") + "." }
