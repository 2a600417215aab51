package run_test

import (
	"math/rand/v2"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// post carries what worker, runner and user of one run say. It loses some, repeats some, and delivers in any order, a letter of
// long ago included. Whoever needs an answer says it again, as the programs do.
type post struct {
	*story
	rnd  *rand.Rand
	sent []run.Input
	bag  []run.Input
}

func (p *post) send(in run.Input) {
	p.sent = append(p.sent, in)
	for range p.rnd.IntN(3) { // lost, delivered, delivered twice
		p.bag = append(p.bag, in)
	}
	if p.rnd.IntN(4) == 0 {
		p.bag = append(p.bag, p.sent[p.rnd.IntN(len(p.sent))])
	}
}

// deliver brings one of the letters that are on their way.
func (p *post) deliver() (in run.Input, was run.Run, ok bool) {
	if len(p.bag) == 0 {
		return nil, p.run, false
	}
	i := p.rnd.IntN(len(p.bag))
	in, was = p.bag[i], p.run
	p.bag = append(p.bag[:i], p.bag[i+1:]...)
	p.give(in)
	return in, was, true
}

// next is what the one whose turn it is says, knowing nothing but the answers it got.
func (p *post) next() run.Input {
	switch a := p.attempt(); {
	case p.run.Status == run.Pending, p.run.Status == run.Confirmed:
		return run.Queue{}
	case p.run.Status == run.Planned, p.run.Status == run.PlannedAndSaved:
		return run.Confirm{}
	case p.task().State == run.TaskQueued:
		return p.claim()
	case a.State == run.AttemptClaimed:
		return p.start()
	}
	stages := []messages.Stage{messages.StageFetch, messages.StageInit, messages.StagePlan, messages.StageApply, messages.StageUpload}
	if p.rnd.IntN(3) > 0 {
		return run.Progress{AttemptID: p.attempt().ID, Stage: stages[p.rnd.IntN(len(stages))]}
	}
	return p.finish(run.Succeeded, true)
}

// TestBadPost: whatever is lost, repeated and reordered, a run that nothing else happens to is applied, once, and each of its
// phases has one attempt: no letter of long ago takes anything back.
func TestBadPost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		p := &post{story: tell(run.Options{AutoApply: rnd.IntN(2) == 0, SavePlan: rnd.IntN(3) == 0}), rnd: rnd}
		for turn := 0; p.run.Status != run.Applied; turn++ {
			if turn > 2000 {
				t.Fatalf("seed %d: after %d turns the run is %s, want it applied", seed, turn, shown(p.run))
			}
			p.send(p.next())
			for range rnd.IntN(4) {
				if in, was, ok := p.deliver(); ok {
					if problem := broken(was, p.story, in); problem != "" {
						t.Fatalf("seed %d: after %T%+v from %s to %s: %s", seed, in, in, shown(was), shown(p.run), problem)
					}
				}
			}
		}
		for len(p.bag) > 0 { // what is still on its way
			p.deliver()
		}
		for _, task := range p.run.Tasks() {
			if len(task.Attempts) != 1 || task.Retries+task.Stale+task.Unstart > 0 {
				t.Errorf("seed %d: the %s has %d attempts, want one: %s", seed, task.Phase, len(task.Attempts), shown(p.run))
			}
		}
		if p.run.Status != run.Applied {
			t.Errorf("seed %d: got %s after late letters, want it applied", seed, shown(p.run))
		}
		replay(t, seed, p.story)
	}
}
