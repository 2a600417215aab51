// Package cli is the gantry command line for people and scripts. It talks to a server by package client only.
//
// One file per command or group of commands; what they stand on: cli.go (the program and its exit codes), connection.go
// (which server, as whom), output.go (text or JSON), session.go (a run followed to its end), watch.go, display.go.
// Results go to stdout, everything said about them to stderr; with -o json stdout has one JSON document and nothing else.
package cli
