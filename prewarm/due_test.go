package prewarm

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast/gap"
)

// TestDueAgainstScan compares the heap with a search through all plans.
func TestDueAgainstScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var h dueHeap
	plans := make([]*plan, 50)
	for i := range plans {
		plans[i] = &plan{fn: dispatcher.FnID(i), dueAt: gap.Never}
	}
	now := time.Duration(0)
	for range 20_000 {
		pl := plans[rng.IntN(len(plans))]
		switch rng.IntN(4) {
		case 0:
			h.set(pl, gap.Never)
		case 1:
			now += time.Duration(rng.IntN(3))
			var first *plan
			for _, q := range plans {
				if q.dueAt <= now && (first == nil || q.dueAt < first.dueAt) {
					first = q
				}
			}
			if got := h.pop(now); got != first {
				t.Fatalf("pop(%v) = %v, want %v", now, got, first)
			}
		default:
			h.set(pl, now+time.Duration(rng.IntN(100)))
		}
		for i, q := range h {
			if q.dueIn != i+1 {
				t.Fatalf("place %d says that it is %d", i+1, q.dueIn)
			}
		}
	}
}
