package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Check returns every promise that was not kept, in no particular order.
func Check(h History) []Breach {
	c := newCheck(h)
	c.appliesOnce()
	c.startedFirst()
	c.alone()
	c.firstComeFirstServed()
	c.everythingEnds()
	c.eventsCountOnce()
	c.statesFollow()
	c.nothingIsLost()
	c.logsAreWhole()
	c.tablesAreTheirEvents()
	return c.breaches
}

type check struct {
	History
	breaches []Breach
	run      map[string]Run
	word     map[string]Run
	phase    map[string]string // of a task
	events   map[string][]Event
	broken   map[string]bool // runs that had a broken attempt
}

func newCheck(h History) *check {
	c := &check{History: h, run: map[string]Run{}, word: map[string]Run{}, phase: map[string]string{}, events: map[string][]Event{}, broken: map[string]bool{}}
	for _, r := range h.Runs {
		c.run[r.ID], c.word[r.Word] = r, r
	}
	for _, e := range h.Events {
		c.events[e.Run] = append(c.events[e.Run], e)
		switch e.Type {
		case "plan_queued":
			c.phase[e.Task] = Plan
		case "apply_queued":
			c.phase[e.Task] = Apply
		}
		if h.Broken[e.Attempt] {
			c.broken[e.Run] = true
		}
	}
	return c
}

func (c *check) breach(rule, format string, args ...any) {
	c.breaches = append(c.breaches, Breach{rule, fmt.Sprintf(format, args...)})
}

// appliesOnce: an apply is started at most once, ever, and so is each of its steps.
func (c *check) appliesOnce() {
	const rule = "an apply starts at most once"
	attempts := map[string]string{} // run → attempt that started its apply
	task := map[string]string{}
	for _, e := range c.Events {
		switch e.Type {
		case "claimed":
			task[e.Attempt] = e.Task
		case "started":
			if c.phase[task[e.Attempt]] != Apply {
				continue
			}
			if first, again := attempts[e.Run]; again {
				c.breach(rule, "run %s: attempts %s and %s were both started", e.Run, first, e.Attempt)
			}
			attempts[e.Run] = e.Attempt
		}
	}
	executed, began := map[string]int{}, map[Step]int{}
	for _, j := range c.Journal {
		switch {
		case j.Kind == Executed && j.Phase == Apply:
			executed[j.Run]++
		case j.Kind == Began:
			began[j.Step]++
		}
	}
	for run, n := range executed {
		if n > 1 {
			c.breach(rule, "run %s: terraform apply was executed %d times", run, n)
		}
	}
	for step, n := range began {
		if n > 1 {
			c.breach(rule, "step %s of %s was carried out %d times", step.Name, step.Word, n)
		}
	}
}

// startedFirst: terraform plans and applies for attempts that Gantry let begin, once for each.
func (c *check) startedFirst() {
	const rule = "terraform is executed for a started attempt, once"
	started, executed := map[string]bool{}, map[string]bool{}
	for _, e := range c.Events {
		if e.Type == "started" {
			started[e.Attempt] = true
		}
	}
	for _, j := range c.Journal {
		if j.Kind != Executed {
			continue
		}
		if !started[j.Attempt] {
			c.breach(rule, "%s: %s of %s was executed for attempt %s, which was never started", j.Workspace, j.Phase, j.Run, j.Attempt)
		}
		if executed[j.Attempt] {
			c.breach(rule, "%s: %s of %s was executed again for attempt %s", j.Workspace, j.Phase, j.Run, j.Attempt)
		}
		executed[j.Attempt] = true
	}
}

// alone: at most one exclusive task of a workspace executes at a time. A plan whose runner was broken and given up may still
// be there while the next one works: it changes nothing.
func (c *check) alone() {
	const rule = "exclusive tasks of a workspace never overlap"
	c.attemptsOneByOne(rule)
	for _, j := range c.Journal {
		if j.Kind != Overlapped || !c.run[j.Run].Exclusive || !c.run[j.OtherRun].Exclusive {
			continue
		}
		if j.OtherPhase == Plan && c.broken[j.OtherRun] && c.planGivenUp(j.OtherRun) {
			continue
		}
		c.breach(rule, "%s: %s of %s was executed while %s of %s still was", j.Workspace, j.Phase, j.Run, j.OtherPhase, j.OtherRun)
	}
	open := map[string]map[string]int{} // workspace → word → steps that began and did not end
	for _, j := range c.Journal {
		if j.Kind == Ended {
			for _, other := range workers(open[j.Workspace]) {
				if other != j.Step.Word && open[j.Workspace][j.Step.Word] > 0 && c.endsLater(other, j) {
					c.breach(rule, "%s: %s and %s applied at the same time", j.Workspace, j.Step.Word, other)
				}
			}
			open[j.Workspace][j.Step.Word]--
		}
		if j.Kind == Began {
			if open[j.Workspace] == nil {
				open[j.Workspace] = map[string]int{}
			}
			open[j.Workspace][j.Step.Word]++
		}
	}
}

func workers(open map[string]int) []string {
	var out []string
	for word, n := range open {
		if n > 0 {
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return out
}

// endsLater tells a step at work from one that was killed: only the first says something later.
func (c *check) endsLater(word string, at Entry) bool {
	return slices.ContainsFunc(c.Journal, func(j Entry) bool {
		return j.Kind == Ended && j.Workspace == at.Workspace && j.Step.Word == word && j.At > at.At
	})
}

func (c *check) planGivenUp(run string) bool {
	return slices.ContainsFunc(c.events[run], func(e Event) bool {
		return e.Type == "requeued" || e.Type == "contact_lost" || e.Type == "canceled" || e.Type == "errored"
	})
}

// attemptsOneByOne looks at the same in the events: between the start of an attempt and its end no other starts.
func (c *check) attemptsOneByOne(rule string) {
	open := map[string]Event{} // by workspace
	for _, e := range c.Events {
		if !c.run[e.Run].Exclusive {
			continue
		}
		holder, held := open[e.Workspace]
		switch {
		case e.Type == "started" && held && holder.Attempt != e.Attempt:
			c.breach(rule, "%s: attempt %s was started before %s was closed", e.Workspace, e.Attempt, holder.Attempt)
		case e.Type == "started":
			open[e.Workspace] = e
		case held && e.Run == holder.Run && closes(e.Type):
			delete(open, e.Workspace)
		}
	}
}

// closes names the events that end an attempt.
func closes(kind string) bool {
	return slices.Contains([]string{
		"planned", "applied", "errored", "canceled", "discarded", "requeued", "claim_expired", "base_stale", "outcome_unknown",
	}, kind)
}

// firstComeFirstServed: the exclusive runs of a workspace are released in the order in which they were accepted.
func (c *check) firstComeFirstServed() {
	last := map[string]Run{}
	for _, e := range c.Events {
		r := c.run[e.Run]
		if e.Type != "plan_queued" || !r.Exclusive {
			continue
		}
		if before := last[e.Workspace]; before.Position > r.Position {
			c.breach("first come, first served", "%s: run %s was released after %s, which was accepted later", e.Workspace, r.ID, before.ID)
		}
		last[e.Workspace] = r
	}
}

// everythingEnds: an accepted run is known, and has ended or waits for a person; nothing waits to be sent, and no result
// lies there unread.
func (c *check) everythingEnds() {
	const rule = "every accepted run ends or waits for a person"
	for _, id := range c.Accepted {
		r, known := c.run[id]
		switch {
		case !known:
			c.breach(rule, "run %s was accepted and is not in the database", id)
		case !final(r.Status) && !human(r.Waits) && !c.behindAPerson(r):
			c.breach(rule, "run %s is %s and waits for %q", id, r.Status, r.Waits)
		}
	}
	if c.Outbox > 0 {
		c.breach(rule, "%d messages in the outbox were never sent", c.Outbox)
	}
	for _, res := range c.Results {
		if !slices.ContainsFunc(c.events[res.Run], func(e Event) bool { return e.Attempt == res.Attempt && closes(e.Type) }) {
			c.breach(rule, "run %s: the result of attempt %s was stored and changed nothing", res.Run, res.Attempt)
		}
	}
}

// behindAPerson reports whether the run waits behind another one of its workspace that waits for a person: its user, whose
// patience was over, did not stay to approve it.
func (c *check) behindAPerson(r Run) bool {
	return r.Waits == "behind_run" && slices.ContainsFunc(c.Runs, func(before Run) bool {
		return before.Workspace == r.Workspace && before.Exclusive && before.Position < r.Position && !final(before.Status) && human(before.Waits)
	})
}

func final(status string) bool {
	return slices.Contains([]string{"applied", "planned_and_finished", "discarded", "errored", "canceled", "force_canceled"}, status)
}

func human(reason string) bool {
	return slices.Contains([]string{"approval", "outcome_unknown", "locked"}, reason)
}

// eventsCountOnce: the events of a run are numbered without gaps, no message caused two, no attempt entered a stage twice, and
// none ended twice. (An apply whose outcome was unknown may be resolved by its late result.)
func (c *check) eventsCountOnce() {
	const rule = "an event counts once"
	sources := map[string]string{}
	for run, events := range c.events {
		ends, stages := map[string]string{}, map[string]bool{}
		for i, e := range slices.SortedFunc(slices.Values(events), func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) }) {
			if e.Seq != int64(i+1) {
				c.breach(rule, "run %s: event %d is where %d should be", run, e.Seq, i+1)
				break
			}
			if e.Source != "" {
				if sources[e.Source] != "" {
					c.breach(rule, "message %s caused events of %s and %s", e.Source, sources[e.Source], run)
				}
				sources[e.Source] = run
			}
			if at := e.Attempt + " " + e.Stage; e.Stage != "" {
				if stages[at] {
					c.breach(rule, "run %s: attempt %s entered stage %s twice", run, e.Attempt, e.Stage)
				}
				stages[at] = true
			}
			if e.Attempt == "" || !closes(e.Type) {
				continue
			}
			if before, again := ends[e.Attempt]; again && before != "outcome_unknown" {
				c.breach(rule, "run %s: attempt %s ended twice, %s and %s", run, e.Attempt, before, e.Type)
			}
			ends[e.Attempt] = e.Type
		}
	}
}

// clockSlack is what two processes of one machine may differ in when they say that something happened.
const clockSlack = 2 * time.Second

// statesFollow: of the states that count, serials rise, the lineage stays, and none comes from an epoch that was over.
func (c *check) statesFollow() {
	const rule = "states are one line"
	last := map[string]State{}
	for _, s := range c.States {
		if s.Superseded {
			continue
		}
		before, any := last[s.Workspace]
		last[s.Workspace] = s
		for _, e := range c.Events {
			if e.Type == "claimed" && e.Workspace == s.Workspace && c.run[e.Run].Exclusive && e.Epoch > s.Epoch && s.At.Sub(e.At) > clockSlack {
				c.breach(rule, "%s: state %s of epoch %d was taken after epoch %d had begun", s.Workspace, s.ID, s.Epoch, e.Epoch)
				break
			}
		}
		switch {
		case !any:
		case s.Epoch < before.Epoch:
			c.breach(rule, "%s: state %s of epoch %d follows one of epoch %d", s.Workspace, s.ID, s.Epoch, before.Epoch)
		case s.Serial <= before.Serial:
			c.breach(rule, "%s: state %s has serial %d after %d", s.Workspace, s.ID, s.Serial, before.Serial)
		case s.Lineage != before.Lineage:
			c.breach(rule, "%s: state %s has lineage %s after %s", s.Workspace, s.ID, s.Lineage, before.Lineage)
		}
	}
}

// nothingIsLost: what terraform did is in a state, or its run says that nobody knows. One that was canceled and did not stop
// was killed in the end: its user was told what that means.
func (c *check) nothingIsLost() {
	saved := map[Step]bool{}
	for _, s := range c.States {
		for _, step := range s.Steps {
			saved[step] = true
		}
	}
	for _, j := range c.Journal {
		if j.Kind != Ended || saved[j.Step] {
			continue
		}
		r, known := c.word[j.Step.Word]
		if known && slices.ContainsFunc(c.events[r.ID], func(e Event) bool {
			return e.Type == "outcome_unknown" || e.Type == "canceled" && e.Outcome == "failed"
		}) {
			continue
		}
		c.breach("what was applied is in a state", "%s: step %s of run %s (%s, %s) is in the journal and in no state", j.Workspace, j.Step.Name, r.ID, r.Word, r.Status)
	}
}

// logsAreWhole: the stored log of an attempt has the length and the hash that its runner reported.
func (c *check) logsAreWhole() {
	const rule = "logs are what terraform printed"
	logs := map[string]Log{}
	for _, l := range c.Logs {
		logs[l.Attempt] = l
	}
	for _, res := range c.Results {
		l, last := logs[res.Attempt]
		switch {
		case !last || res.LogSHA256 == "": // another attempt followed
		case l.Lost && c.LogsDeleted:
		case l.Lost:
			c.breach(rule, "attempt %s of %s: bytes of the log were lost", res.Attempt, res.Run)
		case !l.Complete && c.LogsDeleted: // what is missing is waited for
		case !l.Complete:
			c.breach(rule, "attempt %s of %s: the log has no end", res.Attempt, res.Run)
		case l.Size != res.LogSize || l.SHA256 != res.LogSHA256:
			c.breach(rule, "attempt %s of %s: %d bytes with hash %.12s are stored, %d with %.12s were printed", res.Attempt, res.Run, l.Size, l.SHA256, res.LogSize, res.LogSHA256)
		}
	}
}

// tablesAreTheirEvents: the tables are what their events say.
func (c *check) tablesAreTheirEvents() {
	for _, row := range c.Tables {
		if !slices.Contains(c.Refolded, row) {
			c.breach("tables are the fold of their events", "this row is not: %.300s", row)
		}
	}
	if len(c.Tables) != len(c.Refolded) {
		c.breach("tables are the fold of their events", "%d rows, and %d from the events", len(c.Tables), len(c.Refolded))
	}
}
