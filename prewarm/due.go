package prewarm

import (
	"time"

	"github.com/forewarm/forewarm/forecast/gap"
)

// dueHeap holds the functions whose wanted level changes by time alone, the soonest first. A plan knows its place, so
// that an instant can be moved: the heap is never longer than there are functions, and allocates nothing once it was.
type dueHeap []*plan

// set moves pl's due instant; gap.Never takes it off the heap.
func (h *dueHeap) set(pl *plan, at time.Duration) {
	switch {
	case at == gap.Never && pl.dueIn == 0:
	case at == gap.Never:
		h.remove(pl)
	case pl.dueIn == 0:
		pl.dueAt = at
		*h = append(*h, pl)
		pl.dueIn = len(*h)
		h.up(pl.dueIn)
	default:
		pl.dueAt = at
		h.down(h.up(pl.dueIn))
	}
}

// pop takes off the first that is due by now; nil if none is.
func (h *dueHeap) pop(now time.Duration) *plan {
	if len(*h) == 0 || (*h)[0].dueAt > now {
		return nil
	}
	pl := (*h)[0]
	h.remove(pl)
	return pl
}

func (h *dueHeap) remove(pl *plan) {
	i, last := pl.dueIn, len(*h)
	h.swap(i, last)
	(*h)[last-1] = nil
	*h = (*h)[:last-1]
	pl.dueAt, pl.dueIn = gap.Never, 0
	if i < last {
		h.down(h.up(i))
	}
}

// Places count from 1, so that a plan's zero value is off the heap.

func (h dueHeap) less(i, j int) bool {
	a, b := h[i-1], h[j-1]
	return a.dueAt < b.dueAt || a.dueAt == b.dueAt && a.fn < b.fn
}

func (h dueHeap) swap(i, j int) {
	h[i-1], h[j-1] = h[j-1], h[i-1]
	h[i-1].dueIn, h[j-1].dueIn = i, j
}

func (h dueHeap) up(i int) int {
	for i > 1 && h.less(i, i/2) {
		h.swap(i, i/2)
		i /= 2
	}
	return i
}

func (h dueHeap) down(i int) {
	for {
		least := i
		for _, child := range [...]int{2 * i, 2*i + 1} {
			if child <= len(h) && h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
