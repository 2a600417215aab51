// Package messages is the contract between Gantry and everything that talks to it over NATS: producers, workers, runners
// and dashboards. It depends on the standard library only, so that outsiders can import it without importing Gantry.
//
// Rules of the contract:
//   - Every message carries a version V. A reader accepts any version it can decode and ignores fields it does not know.
//     What asks for something (RunRequest, Execution) is different: a field that is not known is refused, because leaving out
//     what was asked for would do something else.
//   - A field added later has a usable zero value: old readers and old writers keep working.
//   - Messages carry ids and small facts. Plans, states, configurations and whole logs travel over HTTPS; a secret is never
//     in a message.
//   - Subjects are functions of this package (subjects.go), never string literals elsewhere.
package messages

// Version is the version this package writes into the V field of every message.
const Version = 1
