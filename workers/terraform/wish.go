package terraform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
)

// wish is a wanted version, understood. The zero value is content with any.
type wish struct {
	exact       *version.Version    // nil unless one version is named
	constraints version.Constraints // nil unless it is a constraint
}

// developmentSuffix marks what somebody built from the sources. It is not released, so it is never installed.
const developmentSuffix = "-dev"

// anyRelease admits every version except those before a release, which have to be named.
const anyRelease = ">= 0.0.0"

func parseWish(text string) (wish, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "latest" {
		return wish{}, nil
	}
	if v, err := version.NewVersion(text); err == nil {
		return wish{exact: v}, nil
	}
	constraints, err := version.NewConstraint(text)
	if err != nil {
		return wish{}, fmt.Errorf("%q is neither a version nor a version constraint", text)
	}
	return wish{constraints: constraints}, nil
}

// development reports whether a build from the sources is named. Only its builder has that one, so that what is there has to
// do.
func (w wish) development() bool {
	return w.exact != nil && strings.HasSuffix(w.exact.String(), developmentSuffix)
}

// accepts reports whether an engine of the version have is good enough. For a constraint, a build from the sources counts as
// the version it is on the way to.
func (w wish) accepts(have string) bool {
	if w.exact == nil && w.constraints == nil || w.development() {
		return true
	}
	v, err := version.NewVersion(have)
	if err != nil {
		return false
	}
	if w.exact != nil {
		return w.exact.Equal(v)
	}
	if strings.HasSuffix(have, developmentSuffix) {
		v = v.Core()
	}
	return w.constraints.Check(v)
}

// choose picks the engine to use: for a constraint the newest, else the first; what is named exactly goes before.
func (w wish) choose(found []Engine) (Engine, bool) {
	good := slices.DeleteFunc(slices.Clone(found), func(e Engine) bool { return !w.accepts(e.Version) })
	if len(good) == 0 {
		return Engine{}, false
	}
	switch {
	case w.constraints != nil:
		return slices.MaxFunc(good, func(a, b Engine) int { return compareVersions(a.Version, b.Version) }), true
	case w.exact != nil:
		if i := slices.IndexFunc(good, func(e Engine) bool { return compareVersions(e.Version, w.exact.String()) == 0 }); i >= 0 {
			return good[i], true
		}
	}
	return good[0], true
}

// compareVersions orders what is no version before everything else.
func compareVersions(a, b string) int {
	va, errA := version.NewVersion(a)
	vb, errB := version.NewVersion(b)
	switch {
	case errA != nil && errB != nil:
		return strings.Compare(a, b)
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	return va.Compare(vb)
}
