package prewarm

import (
	"container/heap"
	"fmt"
	"iter"
	"time"

	"github.com/forewarm/forewarm/forecast/gap"
)

// Learn feeds a function's laws and rates with calls of the past, so that its first day is not a reactive one: when
// each began and how long it took, the earliest first. Times are on the scale of the run, on which those before its
// start are negative; calls that began after the last Advance are left out. In the end all count as idle: what still
// ran then is taken to have ended.
//
// It must come before the function's first call of this run. A function whose saved state was loaded is left as it is,
// since the same calls would count twice. The history may come before Declare or after. Accounts begin with the run.
func (p *Planner) Learn(account, name string, calls iter.Seq2[time.Duration, time.Duration]) (learnt int, err error) {
	k := key{account, name}
	if _, ok := p.saved[k]; ok {
		return 0, nil
	}
	old := p.known[k]
	if old != nil && old.called {
		return 0, fmt.Errorf("prewarm: function %q of account %q was called before its history came", name, account)
	}
	if old != nil && old.restored {
		return 0, nil
	}
	var s student
	for start, service := range calls {
		if start > p.readAt || start < -historyMost || service < 0 {
			continue
		}
		if s.pl == nil {
			if s.pl, err = p.newPlan(k, start); err != nil {
				return 0, err
			}
			s.begin(start)
		}
		s.call(max(start, s.pl.last), service)
	}
	if s.pl == nil {
		return 0, nil
	}
	s.end(p.readAt)
	s.pl.taught = true
	if old != nil {
		p.replace(old, s.pl)
	}
	return s.calls, nil
}

// historyMost is how far back a history may go.
const historyMost = 10 * 365 * 24 * time.Hour

// replace lets pl stand for what was known of a function that was declared and not called yet.
func (p *Planner) replace(old, pl *plan) {
	pl.fn, pl.declared, pl.seq = old.fn, old.declared, old.seq
	pl.memory, pl.price.Price = old.memory, old.price.Price
	pl.want, pl.said, pl.saidSeq = old.want, old.said, old.saidSeq
	if !pl.declared {
		return
	}
	p.plans[pl.fn] = pl
	p.due.set(old, gap.Never)
	for i, q := range p.pending { // at most once, and only before the function's first call
		if q == old {
			p.pending[i] = pl
			pl.queued = true
		}
	}
	p.queue(pl)
}

// student replays a history into a new plan.
type student struct {
	pl    *plan
	ends  endHeap // of the calls that run
	calls int
	took  time.Duration // by all
}

// begin lets laws know what a start takes, by which they tell a burst from calls apart.
func (s *student) begin(start time.Duration) {
	s.pl.last = start
	if s.pl.policy != nil {
		s.pl.policy.want(start, &s.pl.price)
	}
}

func (s *student) call(start, service time.Duration) {
	s.until(start)
	s.feed(start, 0)
	s.pl.busy++
	s.pl.last = start
	if s.pl.policy != nil {
		s.pl.policy.arrive(start)
	}
	s.feed(start, 1)
	s.calls++
	s.took += service
	heap.Push(&s.ends, start+service)
}

// until ends the calls that are over by then.
func (s *student) until(at time.Duration) {
	for len(s.ends) > 0 && s.ends[0] <= at {
		s.depart(heap.Pop(&s.ends).(time.Duration))
	}
}

func (s *student) depart(at time.Duration) {
	s.pl.busy--
	s.pl.last = max(s.pl.last, at)
	if s.pl.policy != nil {
		s.pl.policy.depart(at)
	}
}

// feed tells rate models of n calls at `at`, or of the silence before.
func (s *student) feed(at time.Duration, n int) {
	s.pl.rate.Observe(n, at-s.pl.fed)
	s.pl.fed = at
	if r, ok := s.pl.policy.(*byRate); ok && n == 0 {
		r.feed(at)
	}
}

// end ends the calls that still run, now at the latest.
func (s *student) end(now time.Duration) {
	for len(s.ends) > 0 {
		s.depart(max(s.pl.last, min(now, heap.Pop(&s.ends).(time.Duration))))
	}
	s.pl.price.service = s.took / time.Duration(s.calls)
}

type endHeap []time.Duration

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h endHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(x any)        { *h = append(*h, x.(time.Duration)) }
func (h *endHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
