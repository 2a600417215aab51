package executortest_test

import (
	"sync"
	"testing"

	"gantry.example/workers/executor/executortest"
)

func TestFake(t *testing.T) {
	t.Parallel()
	executortest.Run(t, func(*testing.T) executortest.Harness {
		fake := executortest.NewFake()
		var mu sync.Mutex
		starts := map[string]int{}
		count := func(id string) int {
			mu.Lock()
			defer mu.Unlock()
			for {
				select {
				case a := <-fake.Started():
					starts[a.AttemptID]++
				default:
					return starts[id]
				}
			}
		}
		return executortest.Harness{
			Open:   func(*testing.T) executortest.Instance { return fake },
			Finish: func(_ *testing.T, id string, code int) { fake.Finish(id, code) },
			Starts: func(_ *testing.T, id string) int { return count(id) },
		}
	})
}
