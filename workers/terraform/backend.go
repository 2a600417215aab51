package terraform

import (
	"fmt"
	"strconv"
	"time"
)

// The state of a run is where the runner wants it, whatever backend the configuration names: at an URL of the runner's own,
// or, for engines that save too rarely there (see SavesEachStep), in a file.
//
// Both are ways to have every finished resource in a state outside the engine. They differ in cost: for each resource, the
// file's backend serializes the whole state twice, which is seconds for 1,000 resources however fast the disk is; the other
// one serializes it when it saves, and how often that is can be chosen.

// backendOverride is the file that names the backend. The URL is not in it, because a saved plan remembers what is, and an
// apply has an URL of its own. Saving is repeated for about ten seconds, in which a runner that was killed is replaced.
func backendOverride(url string) string {
	if url == "" {
		return "terraform {\n  backend \"local\" {}\n}\n"
	}
	return `terraform {
  backend "http" {
    retry_max      = 4
    retry_wait_min = 1
    retry_wait_max = 4
  }
}
`
}

// backendEnvironment tells the engine where the state is. Variables of the run with the same prefix must not reach it: they
// would send the state, or its lock, elsewhere.
func backendEnvironment(url string, saveEvery time.Duration) []string {
	if url == "" {
		return nil
	}
	return []string{backendVariables + "ADDRESS=" + url, "TF_STATE_PERSIST_INTERVAL=" + persistInterval(saveEvery)}
}

// backendVariables is how the names of the variables begin that the "http" backend reads.
const backendVariables = "TF_HTTP_"

// persistInterval is the value of TF_STATE_PERSIST_INTERVAL that makes the engine save the state at the end of a resource if
// the last save is at least d ago; with d = 0, always.
//
// The variable counts seconds and the engines refuse less than 20, but they multiply it by 1e9 nanoseconds in 64 bits, which
// wraps around: the number v below, far above 20, satisfies v × 1e9 = d modulo 2^64. Nothing relies on that before
// SavesEachStep has seen it work.
func persistInterval(d time.Duration) string {
	const (
		shift = 9       // 1e9 = 2^9 × odd
		odd   = 1953125 // invertible modulo a power of two
	)
	if d <= 0 {
		d = -1 << shift // an interval that is always over
	}
	inverse := uint64(odd) // correct in its lowest 3 bits; each round doubles them
	for range 5 {
		inverse *= 2 - odd*inverse
	}
	v := (uint64(d) >> shift) * inverse & (1<<(64-shift) - 1)
	return strconv.FormatUint(v, 10)
}

// saveCost estimates how long the engine takes to save a state of size bytes.
func saveCost(size int64) time.Duration { return time.Duration(size) * 40 * time.Nanosecond }

const (
	// bytesPerChange is what a change takes in a plan, and about what a resource takes in a state.
	bytesPerChange = 300
	// patience is how much longer an apply may take in order to save the state after each resource.
	patience = time.Second
	// minSaveEvery is the shortest pause between saves of an apply that cannot save after each resource.
	minSaveEvery = 10 * time.Millisecond
)

// SaveEvery chooses SessionConfig.SaveEvery for the apply of a saved plan: 0, unless saving after each resource would cost
// more than about a second, which only plans of several hundred changes do. Then the engine saves when a resource ends and
// the last save is longer ago than one save takes, so that what a killed engine may have kept to itself are resources that
// ended within that time after a save, until the next resource ends.
func SaveEvery(plan string) (time.Duration, error) {
	planned, prior, err := planSizes(plan)
	if err != nil {
		return 0, fmt.Errorf("the saved plan cannot be read: %w", err)
	}
	one := saveCost(planned + prior)
	if one*time.Duration(planned/bytesPerChange) <= patience {
		return 0, nil
	}
	return max(one, minSaveEvery), nil
}
