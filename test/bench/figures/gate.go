package figures

import "fmt"

// Gate is a limit on a ratio.
type Gate struct {
	Name    string
	Ratio   float64
	Limit   float64
	Of      string // what the ratio is to, in words; empty means the bare CLI
	AtLeast bool   // the ratio must reach the limit; else it must not exceed it
}

// Passed reports whether the ratio keeps to the limit. A ratio that is not a number does not.
func (g Gate) Passed() bool {
	if g.AtLeast {
		return g.Ratio >= g.Limit
	}
	return g.Ratio <= g.Limit
}

// Verdict is PASS or FAIL.
func (g Gate) Verdict() string {
	if g.Passed() {
		return "PASS"
	}
	return "FAIL"
}

// Bound is the limit in words.
func (g Gate) Bound() string {
	if g.AtLeast {
		return fmt.Sprintf("≥ %.2f", g.Limit)
	}
	return fmt.Sprintf("≤ %.2f", g.Limit)
}

// Failed returns the gates that did not pass.
func Failed(gates []Gate) []Gate {
	var out []Gate
	for _, g := range gates {
		if !g.Passed() {
			out = append(out, g)
		}
	}
	return out
}
