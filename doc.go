// Package gantry is the root of the repository. It has no code: it is the home of the test that keeps the boundaries
// between the packages (boundaries_test.go).
package gantry
