package dashboard

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"gantry.example/services/postgres"
)

const (
	historyEvery  = 15 * time.Second
	historyKeeps  = time.Hour
	historyPoints = int(historyKeeps / historyEvery)
	historyPools  = 1000 // more are not drawn
)

// history remembers how much pools had to do in the last hour, for small charts. It is of this process: after a start the
// charts begin anew, and monitoring has the whole story.
type history struct {
	mu    sync.Mutex
	pools map[string]*series // by id; guarded by mu
}

// series is the past of one pool, oldest first.
type series struct{ depth, wait []float64 }

func (h *history) add(loads []postgres.PoolLoad) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.pools
	h.pools = make(map[string]*series, len(loads)) // pools that are gone go
	for _, p := range loads[:min(len(loads), historyPools)] {
		s := before[p.ID]
		if s == nil {
			s = &series{}
		}
		s.depth, s.wait = append(s.depth, float64(p.Queued)), append(s.wait, p.Oldest)
		if extra := len(s.depth) - historyPoints; extra > 0 {
			s.depth, s.wait = append([]float64(nil), s.depth[extra:]...), append([]float64(nil), s.wait[extra:]...)
		}
		h.pools[p.ID] = s
	}
}

func (h *history) of(pool string) (depth, wait []float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.pools[pool]; s != nil {
		return append([]float64(nil), s.depth...), append([]float64(nil), s.wait...)
	}
	return nil, nil
}

// Samples is how many points there are of a pool (id).
func (s *Server) Samples(pool string) int {
	depth, _ := s.history.of(pool)
	return len(depth)
}

// Run looks at the pools now and then, for the charts, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(historyEvery)
	defer tick.Stop()
	for {
		loads, err := s.cfg.DB.PoolLoads(ctx, postgres.Token{Kind: postgres.TokenAdmin})
		if err == nil {
			s.history.add(loads)
		} else if ctx.Err() == nil {
			s.cfg.Log.Warn("the load of the pools could not be read: their charts have a gap", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Charts are drawn in a box of this size, newest value at the right.
const chartWidth, chartHeight = 240.0, 40.0

// points draws values as the points of an SVG's line: "" where there are too few to see anything.
func points(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	most := max(top(values), 1)
	var b strings.Builder
	for i, v := range values {
		x := chartWidth - float64(len(values)-1-i)*chartWidth/float64(historyPoints-1)
		_, _ = fmt.Fprintf(&b, "%.1f,%.1f ", x, chartHeight-1-v/most*(chartHeight-3))
	}
	return strings.TrimSpace(b.String())
}

func top(values []float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	return most
}
