// Package variable has the rules of variables, for the server that stores them, the CLI that sends them and the runner that
// hands them to terraform: what they may be called, which values they take, what of a run's environment is not theirs to set,
// and which texts of a sensitive one no log may show.
//
// Its errors never repeat a value: it may be secret.
package variable
