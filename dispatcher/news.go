package dispatcher

import (
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// newsRoom is how many events a function keeps between two readings. Past it they are counted and lost.
const newsRoom = 512

// EventKind says what an Event tells of.
type EventKind uint8

// What happens to a request, as a planner sees it.
const (
	Arrived EventKind = iota // and was leased a container at once
	Queued                   // it arrived, and waits
	Left                     // it returned, was cancelled, or was given up
)

// Event is one step of a request. Wait is set for Left of a call that was queued, and then at least a nanosecond:
// how long it had waited, so that the planner can follow virtual occupancy, in which a wait for a start does not
// look like demand.
type Event struct {
	At   time.Duration
	Wait time.Duration
	Kind EventKind
}

// News is what a planner reads: the functions that something happened to since the last reading.
type News struct {
	Functions []FunctionNews
	Nodes     NodeNews
}

// FunctionNews is one function's part.
type FunctionNews struct {
	Fn          FnID
	Function    *cluster.Function
	Concurrency int     // 0: shared as measurements allow
	Seq         uint64  // number of events up to here; goes back in Level.Seen
	Dropped     int     // events lost because the ring was full
	Events      []Event // in the order of the core's bookkeeping
	Busy        int     // calls waiting or leased after the last event
	Start       Times
	Service     Times
	ServiceMean time.Duration
	Ready       int
	Starting    int
	PerUnit     float64 // requests that fit into a container per function-sized piece of memory
}

// Times sums up a histogram of durations. All are zero before the first was seen.
type Times struct {
	N                  uint32
	P10, P50, P90, P99 time.Duration
}

func (h *hist) times() Times {
	if h == nil || h.n == 0 {
		return Times{}
	}
	return Times{N: h.n, P10: h.quantile(.1), P50: h.quantile(.5), P90: h.quantile(.9), P99: h.quantile(.99)}
}

// Quantile interpolates between the four that Times holds.
func (t Times) Quantile(p float64) time.Duration {
	ps := [...]float64{.1, .5, .9, .99}
	vs := [...]time.Duration{t.P10, t.P50, t.P90, t.P99}
	if p <= ps[0] {
		return vs[0]
	}
	for i := 1; i < len(ps); i++ {
		if p <= ps[i] {
			w := (p - ps[i-1]) / (ps[i] - ps[i-1])
			return vs[i-1] + time.Duration(w*float64(vs[i]-vs[i-1]))
		}
	}
	return vs[len(vs)-1]
}

// NodeNews is what a planner needs to know of nodes.
type NodeNews struct {
	Live, Reserving int
	Memory          int64 // that one node sells, bytes
	Booked          int64 // over all nodes, bytes; of each function no more than what is worth a node, see function.deserves
	Queued          int64 // that calls need and could not book, bytes
	Lead            Times // from asking for a node to having it
}

// newsList links the functions that have news; a function is on it at most once.
type newsList struct{ head atomic.Pointer[function] }

func (l *newsList) push(f *function) {
	for {
		head := l.head.Load()
		f.newsNext = head
		if l.head.CompareAndSwap(head, f) {
			return
		}
	}
}

// tell appends an event. The function's mutex is held.
func (f *function) tell(kind EventKind, wait time.Duration, fx *Effects) {
	f.newsSeq++
	if len(f.events) >= newsRoom {
		f.eventsLost++
		return
	}
	f.events = append(f.events, Event{At: f.now, Wait: wait, Kind: kind})
	if len(f.events) == newsRoom/2 {
		fx.Hurry = true
	}
	f.announce()
}

// announce puts the function on the list of those with news. Its mutex is held.
func (f *function) announce() {
	if !f.newsListed {
		f.newsListed = true
		f.core.news.push(f)
	}
}

// News moves what happened since the last reading into n, whose memory is reused. It counts as a sign of life
// of the planner.
func (c *Core) News(now time.Duration, n *News) {
	c.plannerAt.Store(int64(now))
	f := c.news.head.Swap(nil)
	n.Functions = n.Functions[:0]
	for f != nil {
		f.mu.Lock()
		next := f.newsNext
		n.Functions = grow(n.Functions)
		f.report(&n.Functions[len(n.Functions)-1])
		f.newsNext, f.newsListed = nil, false
		f.mu.Unlock()
		f = next
	}
	for i, j := 0, len(n.Functions)-1; i < j; i, j = i+1, j-1 { // oldest news first
		n.Functions[i], n.Functions[j] = n.Functions[j], n.Functions[i]
	}
	c.ledger.report(&n.Nodes)
}

// grow lengthens s by one and keeps what its memory held, so that buffers inside are used again.
func grow(s []FunctionNews) []FunctionNews {
	if len(s) < cap(s) {
		return s[:len(s)+1]
	}
	return append(s, FunctionNews{})
}

// report fills r and trades event buffers with it: no copy under the lock. The function's mutex is held.
func (f *function) report(r *FunctionNews) {
	spare := r.Events[:0]
	*r = FunctionNews{
		Fn: f.id, Function: f.cfg, Concurrency: f.share.limit, Seq: f.newsSeq, Dropped: f.eventsLost,
		Events: f.events, Start: f.startTimes(), Service: f.service.times(),
		Busy: f.line.n + f.leases.n, ServiceMean: f.count.ServiceSum / time.Duration(max(f.count.Returned, 1)),
		Ready: f.ready, Starting: f.starting.n, PerUnit: f.share.perUnit(),
	}
	f.lostBefore += uint64(f.eventsLost)
	f.events, f.eventsLost = spare, 0
}
