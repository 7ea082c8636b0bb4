package dispatcher

import (
	"container/heap"
	"sync"
	"time"
)

// dueHeap holds the next instant at which each function has something to do by time alone: one entry a
// function at most, not one a lease or container. An entry may come too early, never too late: then the function
// looks, and enters the next. A function knows its entry's place, so that an earlier instant moves it.
type dueHeap struct {
	mu sync.Mutex
	h  dueEntries
}

type dueEntry struct {
	at time.Duration
	f  *function
}

type dueEntries []dueEntry

func (h dueEntries) Len() int { return len(h) }
func (h dueEntries) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].f.id < h[j].f.id
}
func (h dueEntries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].f.dueIn, h[j].f.dueIn = i+1, j+1
}
func (h *dueEntries) Push(x any) {
	e := x.(dueEntry)
	*h = append(*h, e)
	e.f.dueIn = len(*h)
}
func (h *dueEntries) Pop() any {
	old := *h
	e := old[len(old)-1]
	e.f.dueIn = 0
	old[len(old)-1] = dueEntry{}
	*h = old[:len(old)-1]
	return e
}

// dueBy makes sure that the function is looked at by t. The function's mutex is held.
func (f *function) dueBy(t time.Duration) {
	if t >= f.dueAt {
		return
	}
	f.dueAt = t
	d := &f.core.due
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.dueIn == 0 {
		heap.Push(&d.h, dueEntry{t, f})
		return
	}
	d.h[f.dueIn-1].at = t
	heap.Fix(&d.h, f.dueIn-1)
}

// pop takes a function that is due out of the heap; ok is false when none is, and next is then the earliest.
func (d *dueHeap) pop(now time.Duration) (e dueEntry, next time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.h) == 0 {
		return e, never, false
	}
	if d.h[0].at > now {
		return e, d.h[0].at, false
	}
	return heap.Pop(&d.h).(dueEntry), 0, true
}

// Tick does what is due by now and says when it wants to be called again, at the latest; new calls may make
// that earlier, see NextDue.
func (c *Core) Tick(now time.Duration, fx *Effects) (next time.Duration) {
	for {
		e, at, ok := c.due.pop(now)
		if !ok {
			next = at
			break
		}
		f := e.f
		f.mu.Lock()
		if f.dueAt == e.at { // else another instant was entered since it was taken out
			f.dueAt = never
			f.clamp(now)
			f.expire(fx)
			f.balance(fx)
			f.rearm()
		}
		f.mu.Unlock()
		c.settle(now, fx)
	}
	return min(next, c.ledger.tick(now, c, fx))
}

// NextDue is the earliest instant at which Tick has something to do, as far as is known now.
func (c *Core) NextDue() time.Duration {
	c.due.mu.Lock()
	next := never
	if len(c.due.h) > 0 {
		next = c.due.h[0].at
	}
	c.due.mu.Unlock()
	return min(next, c.ledger.nextDue())
}

// rearm enters the next instant that the clock alone brings.
func (f *function) rearm() {
	if f.leases.n > 0 {
		f.dueBy(f.leases.head.due)
	}
	for k := f.line.head; k != nil; k = k.next {
		f.dueBy(k.due)
	}
	if f.idle > 0 {
		f.dueBy(f.now + f.keepAlive())
	}
}
