package run

// Public returns the run as people may see it: without the nonces by which a worker and a runner prove that they are the
// ones who claimed and started. The receiver stays as it is.
func (r Run) Public() Run {
	r.Plan, r.Apply = r.Plan.clone(), r.Apply.clone()
	for _, t := range r.Tasks() {
		for i := range t.Attempts {
			t.Attempts[i].Nonce, t.Attempts[i].RunnerNonce = "", ""
		}
	}
	return r
}

// Public returns the event as people may see it, see Run.Public.
func (e Event) Public() Event {
	e.Data.Nonce = ""
	return e
}
