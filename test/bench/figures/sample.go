// Package figures is the arithmetic of the bench: what is made of measured values, and how it is shown. It measures nothing.
package figures

import (
	"fmt"
	"math"
	"slices"
)

// Sample is the measured values of one thing, all in one unit.
type Sample []float64

// Median returns the value in the middle, or the mean of the two there; NaN if nothing was measured.
func (s Sample) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// Quantile returns the smallest measured value that at least the fraction q (0 to 1) of all values do not exceed; NaN if
// nothing was measured.
func (s Sample) Quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(math.Ceil(q * float64(len(s))))
	return sorted[min(max(rank, 1), len(s))-1]
}

// Min returns the smallest value.
func (s Sample) Min() float64 { return s.Quantile(0) }

// Max returns the largest value.
func (s Sample) Max() float64 { return s.Quantile(1) }

// Sum returns the sum of all values.
func (s Sample) Sum() float64 {
	sum := 0.0
	for _, v := range s {
		sum += v
	}
	return sum
}

// Show writes "median (min–max)" with the given number of decimals, or a dash if nothing was measured.
func (s Sample) Show(decimals int) string {
	if len(s) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", decimals, s.Median(), decimals, s.Min(), decimals, s.Max())
}

// Ratio compares the medians of two samples.
func Ratio(of, to Sample) float64 { return of.Median() / to.Median() }
