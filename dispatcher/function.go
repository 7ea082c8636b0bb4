package dispatcher

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// function is what is known of one function and its containers. mu guards everything but core and id.
type function struct {
	mu      sync.Mutex
	core    *Core
	id      FnID
	account string            // as in cfg; never changes
	tenant  *account          // of that name; never changes
	cfg     *cluster.Function // replaced, never changed: containers and orders point to it
	now     time.Duration     // latest time heard of; earlier ones are clamped to it

	// Containers.
	room      []containerList // ready ones that admit another request, by leases that they hold
	roomMask  uint64          // bit i: room[i] is not empty
	last      containerList   // the same on nodes that are being emptied
	starting  containerList
	all       map[ContainerID]*container // those that are not gone
	ready     int                        // ready and not retiring
	idle      int                        // ready and without leases
	stopping  int
	covered   int // requests that the ready ones admit in all, but for those on nodes being emptied
	share     sharing
	idleTotal time.Duration // container-time idle, up to tallied
	startTime time.Duration // container-time starting
	stopTime  time.Duration // container-time being removed
	readyTime time.Duration // container-time ready, idle or not
	tallied   time.Duration

	// Calls.
	calls  map[string]*call // waiting or leased, by request id
	line   callList         // waiting, oldest first
	leases callList         // by the end of their right, oldest first
	spare  *call            // free ones, linked by next
	seq    uint64           // last ticket

	lastServed time.Duration // when the line last moved
	standing   bool          // in the ledger's line, or so it was at the last balance
	load       load
	deserved   atomic.Int64 // bytes for which a node is worth its price, read by the ledger

	// What is wanted.
	want   int
	seen   uint64 // newsSeq that the planner had read
	worth  float64
	whyFor Reason
	limits Limits

	// What was measured.
	service    *hist
	start      *hist
	failures   int // starts failed in a row
	retryAt    time.Duration
	lastFailed string

	// News for the planner.
	events     []Event
	eventsLost int // since the last reading
	lostBefore uint64
	newsSeq    uint64
	newsListed bool
	newsNext   *function

	dueAt time.Duration // entry in the core's due heap; never: none
	dueIn int           // place of it there, from 1 on; 0: none. The heap's mutex guards it
	count Counters
}

// never is later than any time of a run.
const never = time.Duration(1<<63 - 1)

// Counters of one function since the start of the run.
type Counters struct {
	Warm, Waited, Cold                uint64 // calls, by how they were served
	Refused, TimedOut, Cancelled      uint64 // calls that got no container
	Returned, Failed                  uint64 // leases ended by Return, and those among them that failed
	Expired                           uint64 // leases never returned
	Started, StartFailed, Stopped     uint64 // containers
	EventsLost                        uint64
	WaitSum                           time.Duration
	Waits                             [len(waitBounds) + 1]uint64 // waited and cold calls by wait, see WaitBounds
	ServiceSum                        time.Duration
	Idle, Starting, Stopping, ReadyIn time.Duration // container-time spent so
}

// waitBounds are upper bounds of waits, in the 1-2-5 series.
var waitBounds = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second,
}

// WaitBounds lists the upper bounds of Counters.Waits; the last count has none.
func WaitBounds() []time.Duration { return waitBounds[:] }

// clamp moves the function's time on; it never runs backwards.
func (f *function) clamp(now time.Duration) {
	if now <= f.now {
		return
	}
	f.now = now
	f.tally()
}

// tally adds up container-time until now. It is called before any count of containers changes.
func (f *function) tally() {
	dt := f.now - f.tallied
	f.tallied = f.now
	f.idleTotal += dt * time.Duration(f.idle)
	f.readyTime += dt * time.Duration(f.ready)
	f.load.sum += dt * time.Duration(f.leases.n)
	f.startTime += dt * time.Duration(f.starting.n)
	f.stopTime += dt * time.Duration(f.stopping)
}

// enroll puts a container where the choice will find it, if it admits another request.
func (f *function) enroll(c *container) {
	if c.bucket != noRoom || c.state != ready || c.retiring || c.leases >= f.share.admits(c.units) {
		return
	}
	if c.node.drains.Load() {
		c.bucket = lastRoom
		f.last.push(c)
		return
	}
	for len(f.room) <= c.leases {
		f.room = append(f.room, containerList{})
	}
	c.bucket = c.leases
	f.room[c.bucket].push(c)
	f.roomMask |= 1 << c.bucket
}

func (f *function) withdraw(c *container) {
	switch c.bucket {
	case noRoom:
		return
	case lastRoom:
		f.last.remove(c)
	default:
		l := &f.room[c.bucket]
		l.remove(c)
		if l.n == 0 {
			f.roomMask &^= 1 << c.bucket
		}
	}
	c.bucket = noRoom
}

// cover counts a container towards the levels that are covered, unless its node is being emptied.
func (f *function) cover(c *container) {
	if c.state == ready && !c.retiring && !c.node.drains.Load() {
		c.covers = f.share.admits(c.units)
		f.covered += c.covers
	}
}

func (f *function) uncover(c *container) {
	f.covered -= c.covers
	c.covers = 0
}

// pick chooses a container with room: the fullest for functions that wait, the emptiest for those that compute,
// the most recently used among equals. Nil when there is none.
func (f *function) pick() *container {
	if f.roomMask == 0 {
		return f.last.head
	}
	if f.share.computes() {
		return f.room[bits.TrailingZeros64(f.roomMask)].head
	}
	return f.room[63-bits.LeadingZeros64(f.roomMask)].head
}

// recount brings the room lists up to date with the number of requests that a container admits.
func (f *function) recount() {
	if !f.share.refresh(f.cfg.Memory) {
		return
	}
	for _, c := range f.ordered() {
		f.withdraw(c)
		f.uncover(c)
		f.cover(c)
		f.enroll(c)
	}
}

// ordered lists the function's containers, least recently idle last: by id among equals, so that it is
// the same in every run.
func (f *function) ordered() []*container {
	cs := make([]*container, 0, len(f.all))
	for _, c := range f.all {
		cs = append(cs, c)
	}
	sortContainers(cs)
	return cs
}

// startMedian is how long a start takes: of this function, else of all functions, else a guess of a second.
func (f *function) startMedian() time.Duration {
	if f.start != nil && f.start.n > 0 {
		return f.start.quantile(.5)
	}
	s := &f.core.starts
	s.Lock()
	defer s.Unlock()
	if s.n > 0 {
		return s.quantile(.5)
	}
	return time.Second
}

// startTimes sums up the function's own start times, else those of all functions.
func (f *function) startTimes() Times {
	if f.start != nil && f.start.n > 0 {
		return f.start.times()
	}
	s := &f.core.starts
	s.Lock()
	defer s.Unlock()
	return s.times()
}

// keepAlive is how long an idle container stays when no planner speaks: kappa plus a start.
func (f *function) keepAlive() time.Duration { return f.core.opts.Kappa + f.startMedian() }

// WaitQuantile is the wait that a share p of the calls stayed within, the warm ones with none, interpolated
// inside a bucket.
func (c *Counters) WaitQuantile(p float64) time.Duration {
	var total uint64
	for _, n := range c.Waits {
		total += n
	}
	left := p*float64(c.Warm+total) - float64(c.Warm)
	if left <= 0 {
		return 0
	}
	low := time.Duration(0)
	for i, n := range c.Waits {
		high := 2 * low
		if i < len(waitBounds) {
			high = waitBounds[i]
		}
		if left <= float64(n) {
			return low + time.Duration(left/float64(n)*float64(high-low))
		}
		left -= float64(n)
		low = high
	}
	return low
}
