package prewarm

import (
	"slices"
	"time"
)

// Book is what one way of deciding did, or would have done, with a function's virtual occupancy: the calls as if each
// had been served at once. See Account for what it leaves out.
type Book struct {
	Idle   time.Duration // container-time held ready with nothing to do
	Ahead  uint64        // containers started before a call needed them
	Starts uint64        // containers started, in all
	Met    uint64        // calls that found a container ready
	Missed uint64        // calls that did not: cold, or behind a container that was still starting
	Wait   time.Duration // that those spent until their container was ready
	Cost   float64       // idle time, starts at a start time each, and misses at kappa each; container-seconds
}

// book keeps a Book. Occupancy is its owner's: every method is told the occupancy that held until then.
type book struct {
	Book
	held  int             // containers, ready or starting
	ready []time.Duration // when those that are starting will be ready, the soonest first
	at    time.Duration   // up to when Idle is counted
}

// pass lets time go by until at.
func (b *book) pass(at time.Duration, busy int) {
	n := 0
	for n < len(b.ready) && b.ready[n] <= at {
		b.idle(b.ready[n], b.held-len(b.ready)+n-busy)
		n++
	}
	if n > 0 {
		b.ready = append(b.ready[:0], b.ready[n:]...)
	}
	b.idle(at, b.held-len(b.ready)-busy)
}

// idle counts n containers that were idle until at.
func (b *book) idle(at time.Duration, n int) {
	if at <= b.at {
		return
	}
	if n > 0 {
		span := time.Duration(n) * (at - b.at)
		b.Idle += span
		b.Cost += span.Seconds()
	}
	b.at = at
}

// need notes a call that comes when busy others are served. It is met if there is a ready container for each. If not,
// it is cold, also where a container for it has been starting for a while.
func (b *book) need(at time.Duration, busy int, p *price) {
	b.pass(at, busy)
	ready := b.held - len(b.ready)
	if busy < ready {
		b.Met++
		return
	}
	b.Missed++
	b.Cost += p.Kappa.Seconds()
	if busy >= b.held {
		b.start(at, p)
	}
	b.Wait += max(0, b.ready[busy-ready]-at)
}

func (b *book) start(at time.Duration, p *price) {
	at += p.Start
	if n := len(b.ready); n > 0 {
		at = max(at, b.ready[n-1])
	}
	b.ready = append(b.ready, at)
	b.held++
	b.Starts++
	b.Cost += p.Start.Seconds()
}

// want notes a decision to hold n containers. What is not needed goes at once, what is starting first.
func (b *book) want(now time.Duration, busy, n int, p *price) {
	b.pass(now, busy)
	for n = max(n, busy); b.held < n; b.Ahead++ {
		b.start(now, p)
	}
	surplus := b.held - n
	taken := max(0, busy-(b.held-len(b.ready))) // by calls that wait
	b.ready = b.ready[:len(b.ready)-min(surplus, len(b.ready)-taken)]
	b.held = n
}

// resync brings the number of containers in line with an occupancy that jumped.
func (b *book) resync(now time.Duration, was, busy int) {
	b.pass(now, was)
	if b.held < busy {
		b.held = busy
	}
	b.ready = b.ready[:min(len(b.ready), max(0, b.held-busy))]
}

// as is the Book that b would be at now; b is left as it is.
func (b *book) as(now time.Duration, busy int) Book {
	c := b.copied()
	c.pass(now, busy)
	return c.Book
}

func (b *book) copied() book {
	c := *b
	c.ready = slices.Clone(b.ready)
	return c
}

// join makes b hold what other holds.
func (b *book) join(other *book) {
	b.held, b.at = other.held, max(b.at, other.at)
	b.ready = append(b.ready[:0], other.ready...)
}
