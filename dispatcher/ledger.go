package dispatcher

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// ledger keeps the books of nodes and of their memory. Memory is booked when a start is ordered, so that two
// starts never take the same place. Its mutex is taken after a function's, never before one.
type ledger struct {
	mu    sync.Mutex
	opts  Options
	nodes []*node // held, oldest first
	asked []*reservation
	line  []*queued // functions that wait for memory; at most one entry each

	target       int // nodes that the planner wants
	targetWhy    Reason
	targetAt     time.Duration // when it said so
	lastNode     NodeID
	lastCont     ContainerID
	functions    map[*function]int64 // bytes booked
	accounts     map[string]int64    // bytes booked
	tenants      map[string]*account
	slots        slots
	lastRefusal  string       // of a reservation, in words
	soldMemory   atomic.Int64 // that a node sells
	failures     int          // reservations failed in a row
	retryAt      time.Duration
	short        int64         // bytes that calls need and could not book, as far as a node is worth its price
	late         atomic.Int64  // byte-seconds, see tooLate; not in debt yet
	grewAt       atomic.Int64  // when the last node came, time since the start of the run
	debt         float64       // byte-seconds, with forgetting
	debtAt       time.Duration // forgotten up to here
	lookedAt     time.Duration // when idle containers to give up were last looked for
	givesWay     bool          // some were found then, or the search is under way
	leads        hist
	nodeTime     time.Duration // node-time held, up to tallied
	tallied      time.Duration
	reserved     uint64
	reserveNo    uint64 // reservations that failed
	released     uint64
	peak         int
	lostNodes    uint64
	reclaimed    uint64
	shuttingDown bool
}

// node is one held machine. The ledger's mutex guards it, except desc and id, which never change.
type node struct {
	id         NodeID
	desc       *cluster.Node
	capacity   int64         // bytes that may be booked
	ratedAt    time.Duration // when it last refused what should have fitted
	booked     int64
	available  int64 // bytes that the node says are unused; -1: it does not say
	containers map[ContainerID]*container
	emptySince time.Duration
	failedAt   time.Duration // of the last start that failed here; it is tried again soon
	readyAt    time.Duration
	releasing  bool
	cordoned   bool // by an operator: nothing is placed here, whatever the need
	account    string

	drains atomic.Bool // no new containers; idle ones go
	lost   atomic.Bool
}

// reservation is a node that was asked for.
type reservation struct {
	order uint64
	since time.Duration
}

// booking is what a start needs.
type booking struct {
	class  class
	memory int64         // wanted for one container
	unit   int64         // that the smallest one takes
	total  int64         // of a need: with all further containers that it calls for
	urgent bool          // of a need: a node is worth it whatever it costs
	bare   bool          // of a need: the function has no container
	since  time.Duration // arrival of the oldest call that waits

	promised int64 // of what is wanted ahead: memory that a floor lacks, for which a node is worth it
}

// class orders the line for memory, and says what may be done for who stands there.
type class uint8

const (
	needed  class = iota // calls wait and would wait too long: containers of others give way, or a node is reserved
	comfort              // calls wait, and would wait less: takes what is free
	ahead                // no call waits yet: takes what is free, after all others
)

// queued is a function's place in the line for memory.
type queued struct {
	f *function
	booking
}

func newLedger(o Options) *ledger {
	l := &ledger{opts: o, slots: slots{counts: o.Leases}, tenants: map[string]*account{}, functions: map[*function]int64{}, accounts: map[string]int64{}, targetAt: -time.Hour, lookedAt: -time.Hour}
	l.soldMemory.Store(o.NodeMemory)
	return l
}

func (l *ledger) nodeMemory() int64 { return l.soldMemory.Load() }

func (n *node) free() int64 {
	free := n.capacity - n.booked
	if n.available >= 0 {
		free = min(free, n.available)
	}
	return free
}

func (l *ledger) tally(now time.Duration) {
	if now > l.tallied {
		l.nodeTime += (now - l.tallied) * time.Duration(len(l.nodes))
		l.tallied = now
	}
	l.peak = max(l.peak, len(l.nodes))
}

// book takes memory for a container of f, as much as asked for or by halves down to one unit where no node has
// room for more, or enters f into the line. The function's mutex is held.
func (l *ledger) book(now time.Duration, f *function, b booking, fx *Effects) (*node, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally(now)
	if !l.othersFirst(f, b) && l.within(f, b.unit) {
		if n, memory := l.fit(&b, nil, fx); n != nil {
			l.take(n, f, memory)
			l.leave(f)
			return n, memory
		}
	}
	l.enter(f, b)
	l.provide(now, f.core, fx)
	return nil, 0
}

// fit finds a place for what is wanted, or for the largest half of it that there is room for, down to one unit.
// A node that was being emptied is kept then.
func (l *ledger) fit(b *booking, skip map[*node]bool, fx *Effects) (*node, int64) {
	for memory := b.memory; memory >= b.unit; memory /= 2 {
		n := l.fullestFit(memory, skip)
		if n == nil || n.drains.Load() && b.class == comfort { // for comfort no node is kept
			continue
		}
		if n.drains.Load() {
			n.setDrains(false, fx)
		}
		return n, memory
	}
	return nil, 0
}

// othersFirst says whether the line holds anyone who should not be overtaken by f.
func (l *ledger) othersFirst(f *function, b booking) bool {
	for _, q := range l.line {
		if q.f != f && q.class < ahead && q.class <= b.class {
			return true
		}
	}
	return false
}

// enter puts f into the line, or renews its place there.
func (l *ledger) enter(f *function, b booking) {
	for _, q := range l.line {
		if q.f == f {
			q.booking = b
			return
		}
	}
	l.line = append(l.line, &queued{f: f, booking: b})
}

func (l *ledger) leaveLine(f *function) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(f)
}

func (l *ledger) leave(f *function) {
	l.line = slices.DeleteFunc(l.line, func(q *queued) bool { return q.f == f })
}

// fullestFit is the node with the least free memory that still has room, draining ones only if no other has.
// Nodes in skip are passed over.
func (l *ledger) fullestFit(memory int64, skip map[*node]bool) *node {
	var best *node
	for _, n := range l.nodes {
		if n.releasing || n.cordoned || n.lost.Load() || skip[n] || n.free() < memory {
			continue
		}
		if best == nil || better(n, best) {
			best = n
		}
	}
	return best
}

// setDrains begins or ends the emptying of a node; its containers' functions are told.
func (n *node) setDrains(drains bool, fx *Effects) {
	n.drains.Store(drains)
	for _, ct := range sortedByID(n.containers) {
		fx.work = append(fx.work, work{kind: workDrain, f: ct.fn, c: ct})
	}
}

func better(a, b *node) bool {
	if da, db := a.drains.Load(), b.drains.Load(); da != db {
		return db
	}
	return a.free() < b.free()
}

func (l *ledger) take(n *node, f *function, memory int64) {
	n.booked += memory
	l.functions[f] += memory
	l.accounts[f.account] += memory
}

// unbook gives memory back and offers it to whoever waits.
func (l *ledger) unbook(now time.Duration, c *Core, f *function, n *node, memory int64, fx *Effects) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally(now)
	n.booked -= memory
	if l.functions[f] -= memory; l.functions[f] == 0 {
		delete(l.functions, f)
	}
	if l.accounts[f.account] -= memory; l.accounts[f.account] == 0 {
		delete(l.accounts, f.account)
	}
	if n.booked == 0 {
		n.emptySince = now
	}
	l.provide(now, c, fx)
	l.trim(now, c, fx)
}

// provide books memory for those in line as far as there is room, see fairOrder. For the rest idle containers are
// looked for that may be given up; where calls need memory and none is found, it asks for nodes.
func (l *ledger) provide(now time.Duration, c *Core, fx *Effects) {
	if len(l.line) == 0 {
		l.reserve(now, c, 0, fx)
		return
	}
	var skip map[*node]bool
	lacking, bought := false, int64(0)
	l.short = 0
	paid := l.nodePaid(now)
	unserved := l.line[:0]
	for _, q := range l.fairOrder() {
		if !l.within(q.f, q.unit) { // neither room nor a node would help it
			unserved = append(unserved, q)
			continue
		}
		if n, memory := l.fit(&q.booking, skip, fx); n != nil {
			l.take(n, q.f, memory)
			fx.work = append(fx.work, work{kind: workOffer, f: q.f, n: n, mem: memory})
			continue
		}
		unserved = append(unserved, q)
		if q.class != needed {
			continue
		}
		lacking = true
		if q.urgent {
			l.short += max(q.total, q.unit)
		} else if paid { // one node: what is late in spite of it pays for the next
			bought = min(bought+max(q.total, q.unit), l.nodeMemory())
		}
		if n := l.roomiest(); n != nil && skip == nil { // keep it for the first: small ones must not starve it
			skip = map[*node]bool{n: true}
		}
	}
	clear(l.line[len(unserved):])
	l.line = unserved
	l.short += bought
	if lacking {
		l.lookForRoom(now, fx)
	}
	short := l.short
	if l.givesWay {
		short = 0 // room is being made
	}
	l.reserve(now, c, short, fx)
}

// lookForRoom has idle containers looked for that may be given up, not too often.
func (l *ledger) lookForRoom(now time.Duration, fx *Effects) {
	if now >= l.lookedAt+reclaimPause {
		l.lookedAt, l.givesWay = now, true // until reclaim says that there are none
		fx.work = append(fx.work, work{kind: workReclaim})
	}
}

// reclaimPause bounds how often all containers are looked at for want of memory: a fraction of the shortest start.
const reclaimPause = 5 * time.Millisecond

// nothingGivesWay says that a search for idle containers came to nothing: now a node is asked for.
func (l *ledger) nothingGivesWay(now time.Duration, c *Core, bare int64, fx *Effects) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.givesWay = false
	if len(l.line) > 0 {
		l.reserve(now, c, max(l.short, bare), fx)
	}
}

// tooLate notes that a call has waited longer than the patience. Waiting costs at most kappa a call, in time of its function's
// container (unit bytes). What arrived before the last node came does not speak for another.
func (l *ledger) tooLate(arrived time.Duration, unit int64) {
	if arrived > time.Duration(l.grewAt.Load()) {
		l.late.Add(int64(l.opts.Kappa.Seconds() * float64(unit)))
	}
}

// nodePaid says whether calls that were too late lately have cost as much as a further node would at least: it is held
// for its lead, for a keep-alive after the last use of what is on it, and for a while empty. To buy when renting has
// cost the price is never more than twice as dear as to know the future (ski rental).
func (l *ledger) nodePaid(now time.Duration) bool {
	held := (l.leads.quantile(.5) + l.opts.Kappa + l.opts.NodeIdle).Seconds()
	now = max(now, l.debtAt)
	l.debt = l.debt*math.Exp((l.debtAt-now).Seconds()/max(held, 1)) + float64(l.late.Swap(0))
	l.debtAt = now
	return l.debt >= held*float64(l.nodeMemory())
}

func (l *ledger) fairOrder() []*queued {
	order := slices.Clone(l.line)
	slices.SortStableFunc(order, func(a, b *queued) int {
		return cmp.Or(
			cmp.Compare(a.class, b.class),
			cmp.Compare(l.accounts[a.f.account], l.accounts[b.f.account]),
			cmp.Compare(min(l.functions[a.f], 1), min(l.functions[b.f], 1)), // those without any container first
			cmp.Compare(a.since, b.since),
			cmp.Compare(a.f.id, b.f.id))
	})
	return order
}

func (l *ledger) roomiest() *node {
	var best *node
	for _, n := range l.nodes {
		if !n.releasing && !n.cordoned && !n.lost.Load() && (best == nil || n.free() > best.free()) {
			best = n
		}
	}
	return best
}

// newContainer makes a container whose memory is booked. The function's mutex is held.
func (l *ledger) newContainer(f *function, n *node, units int32) *container {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastCont++
	c := &container{id: l.lastCont, fn: f, cfg: f.cfg, node: n, units: units, memory: int64(units) * f.cfg.Memory}
	n.containers[c.id] = c
	c.slot = l.slots.get()
	l.account(f.account).containers++
	return c
}

// adoptContainer enters a container of an earlier run, and books its memory. The function's mutex is held.
func (l *ledger) adoptContainer(f *function, n *node, a *Adopted) *container {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastCont++
	c := &container{id: l.lastCont, fn: f, cfg: f.cfg, node: n, units: a.Units, memory: a.Memory, slot: l.slots.adopt(a.Slot)}
	n.containers[c.id] = c
	l.take(n, f, c.memory)
	l.account(f.account).containers++
	return c
}

func (l *ledger) removeContainer(c *container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(c.node.containers, c.id)
	l.slots.put(c.slot)
	l.account(c.fn.account).containers--
}

// overrated notes that a node refused a container of so many bytes that should have fitted. It counts as full with
// what it holds besides, for a while: an earlier run's containers may be leaving it.
func (l *ledger) overrated(n *node, refused int64, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.capacity, n.ratedAt = min(n.capacity, n.booked-refused), now
}

// ratedFor is how long a node that refused a container is taken to have less memory than it says.
const ratedFor = 10 * time.Second

// rate believes nodes again that refused a container a while ago.
func (l *ledger) rate(now time.Duration) {
	for _, n := range l.nodes {
		if n.capacity < n.desc.Memory && now >= n.ratedAt+ratedFor {
			n.capacity = n.desc.Memory
		}
	}
}
