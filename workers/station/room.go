package station

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"gantry.example/internal/host"
	"gantry.example/workers/process"
)

// tidyEvery is how often the work folder is tidied.
const tidyEvery = time.Minute

// room looks after the disk of a work folder, so that a worker does not fill it.
type room struct {
	dir  string
	min  uint64 // bytes
	exec *process.Executor
}

// ready reports why nothing new should begin here. Where space is short it first removes what can be spared.
func (r room) ready() error {
	free, err := host.Free(r.dir)
	if err == nil && free < r.min {
		r.exec.Tidy(true)
		free, err = host.Free(r.dir)
	}
	if err != nil || free >= r.min { // a disk that can't be asked is not known to be full
		return nil
	}
	return fmt.Errorf("the disk of %s has %s free, less than --min-free-disk %s: make room there", r.dir, humanize.IBytes(free), humanize.IBytes(r.min))
}

// tidy removes old folders until ctx ends, also while nothing runs.
func (r room) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			free, err := host.Free(r.dir)
			r.exec.Tidy(err == nil && free < r.min)
		}
	}
}
