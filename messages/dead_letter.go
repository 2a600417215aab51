package messages

import "time"

// DeadLetter is a message that nobody could use, kept on DeadLetterStream with the reason and all that is needed to send it
// again. Nothing waits for a dead letter: no task, run or workspace is held up by it.
type DeadLetter struct {
	V int `json:"v"`
	// ID is its place in the stream of dead letters, by which people name it. Readers set it; the message itself has none.
	ID       uint64    `json:"id,omitempty"`
	Subject  string    `json:"subject"` // where the message was published, and where a replay goes
	Stream   string    `json:"stream"`  // that delivered it
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"` // when it was given up
	// Failure says why it was given up.
	Failure Failure `json:"failure"`
	// Headers are those of the message.
	Headers map[string][]string `json:"headers,omitempty"`
	// Data is the body of the message, base64 in JSON. It is shorter than Size where the whole of it would not have fitted into
	// a message; such a dead letter cannot be replayed. Lists leave it out.
	Data []byte `json:"data,omitempty"`
	Size int    `json:"size"` // of the body in bytes
}
