package messages

// Lease is the value of a key in a lease bucket: who carries out the work of that key now. It is for liveness and
// exclusion; the fencing token is the epoch, which only Postgres raises.
type Lease struct {
	V         int    `json:"v"`
	AttemptID string `json:"attempt_id"`
	RunID     string `json:"run_id"`
	Epoch     int64  `json:"epoch"`  // a holder with a lower epoch is replaced at once
	Holder    string `json:"holder"` // host and process, for people
	Nonce     string `json:"nonce"`  // tells the holder's own lost write from a foreign one
}
