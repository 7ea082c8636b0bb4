package dispatcher

import (
	"cmp"
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
	soldMemory   atomic.Int64        // that a node sells
	failures     int                 // reservations failed in a row
	retryAt      time.Duration
	reclaimAt    time.Duration // when idle containers were last looked for
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
	capacity   int64 // bytes that may be booked
	booked     int64
	available  int64 // bytes that the node says are unused; -1: it does not say
	containers map[ContainerID]*container
	emptySince time.Duration
	readyAt    time.Duration
	releasing  bool
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
	memory  int64
	total   int64         // with all further containers that the function would start now
	extra   bool          // wanted ahead: stands behind all that wait
	waiting bool          // calls wait for it
	since   time.Duration // arrival of the oldest of them
}

// queued is a function's place in the line for memory.
type queued struct {
	f *function
	booking
}

func newLedger(o Options) *ledger {
	l := &ledger{opts: o, functions: map[*function]int64{}, accounts: map[string]int64{}, targetAt: -time.Hour}
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

// book takes memory for a container of f, or enters f into the line. The function's mutex is held.
func (l *ledger) book(now time.Duration, f *function, b booking, fx *Effects) *node {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally(now)
	if !l.othersFirst(f, b) {
		if n := l.fullestFit(b.memory, nil, fx); n != nil {
			l.take(n, f, b.memory)
			l.leave(f)
			return n
		}
	}
	l.enter(f, b)
	l.provide(now, f.core, fx)
	return nil
}

// othersFirst says whether the line holds anyone who should not be overtaken by f.
func (l *ledger) othersFirst(f *function, b booking) bool {
	for _, q := range l.line {
		if q.f != f && q.waiting && (!b.waiting || b.extra || !q.extra) {
			return true
		}
	}
	return false
}

// enter puts f into the line, or renews its place there.
func (l *ledger) enter(f *function, b booking) {
	for _, q := range l.line {
		if q.f == f {
			if !(b.extra && !q.extra) {
				q.booking = b
			}
			return
		}
	}
	l.line = append(l.line, &queued{f: f, booking: b})
}

func (l *ledger) leave(f *function) {
	l.line = slices.DeleteFunc(l.line, func(q *queued) bool { return q.f == f })
}

// fullestFit is the node with the least free memory that still has room, draining ones only if no other has:
// such a node is then kept. Nodes in skip are passed over.
func (l *ledger) fullestFit(memory int64, skip map[*node]bool, fx *Effects) *node {
	var best *node
	for _, n := range l.nodes {
		if n.releasing || n.lost.Load() || skip[n] || n.free() < memory {
			continue
		}
		if best == nil || better(n, best) {
			best = n
		}
	}
	if best != nil && best.drains.Load() {
		best.setDrains(false, fx)
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

// provide books memory for those in line as far as there is room, the account with the least memory first, then
// functions without a container, then the oldest. For those that remain and for whom calls wait it asks for nodes, and has idle containers given up.
func (l *ledger) provide(now time.Duration, c *Core, fx *Effects) {
	if len(l.line) == 0 {
		l.reserve(now, c, 0, fx)
		return
	}
	var skip map[*node]bool
	var short int64
	unserved := l.line[:0]
	for _, q := range l.fairOrder() {
		if n := l.fullestFit(q.memory, skip, fx); n != nil {
			l.take(n, q.f, q.memory)
			fx.work = append(fx.work, work{kind: workOffer, f: q.f, n: n, mem: q.memory})
			continue
		}
		unserved = append(unserved, q)
		if !q.waiting || q.extra {
			continue
		}
		short += max(q.total, q.memory)
		if n := l.roomiest(); n != nil && skip == nil { // keep it for the first: small ones must not starve it
			skip = map[*node]bool{n: true}
		}
	}
	clear(l.line[len(unserved):])
	l.line = unserved
	l.reserve(now, c, short, fx)
	if short > 0 && now >= l.reclaimAt {
		l.reclaimAt = now + reclaimPause
		fx.work = append(fx.work, work{kind: workReclaim})
	}
}

// reclaimPause bounds how often all containers are looked at for want of memory.
const reclaimPause = 5 * time.Millisecond

func (l *ledger) fairOrder() []*queued {
	order := slices.Clone(l.line)
	slices.SortStableFunc(order, func(a, b *queued) int {
		return cmp.Or(
			cmp.Compare(a.class(), b.class()),
			cmp.Compare(l.accounts[a.f.account], l.accounts[b.f.account]),
			cmp.Compare(min(l.functions[a.f], 1), min(l.functions[b.f], 1)), // those without any container first
			cmp.Compare(a.since, b.since),
			cmp.Compare(a.f.id, b.f.id))
	})
	return order
}

// class orders the line: calls that wait, then further containers for them, then what is wanted ahead.
func (q *queued) class() int {
	switch {
	case q.waiting && !q.extra:
		return 0
	case q.waiting:
		return 1
	}
	return 2
}

func (l *ledger) roomiest() *node {
	var best *node
	for _, n := range l.nodes {
		if !n.releasing && !n.lost.Load() && (best == nil || n.free() > best.free()) {
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
	return c
}

func (l *ledger) removeContainer(c *container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(c.node.containers, c.id)
}

// overrated notes that a node refused a container that should have fitted.
func (l *ledger) overrated(n *node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.capacity = min(n.capacity, n.booked)
}
