package dispatcher

import (
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// FunctionInfo is a function as it is at a moment.
type FunctionInfo struct {
	Fn                                     FnID
	Function                               cluster.Function
	Ready, Idle, Starting, Stopping        int // containers
	Waiting, Leased                        int // calls
	Want                                   int // levels
	Why                                    Reason
	Admits                                 int // requests that a container of one unit may hold
	Start, Service                         Times
	Count                                  Counters
	Failures                               int
	LastFailure                            string
	OldestWait                             time.Duration
	Booked                                 int64
	Deserved                               int64 // bytes of it for which a node is worth its price
	RetryIn                                time.Duration
	Concurrency                            int
	MemoryBase, MemoryEach, CPUPerCallTime float64 // bytes, bytes, share of its processor that a call uses; 0 when not known
}

// Functions calls yield for every function until it returns false, each under its own mutex for a moment.
func (c *Core) Functions(now time.Duration, yield func(*FunctionInfo) bool) {
	c.fnMu.RLock()
	fns := c.fns[:len(c.fns):len(c.fns)]
	c.fnMu.RUnlock()
	var i FunctionInfo
	for _, f := range fns {
		f.mu.Lock()
		f.clamp(now)
		f.info(&i)
		f.mu.Unlock()
		if !yield(&i) {
			return
		}
	}
}

// Count is how many functions there are; their numbers are those below it.
func (c *Core) Count() int {
	c.fnMu.RLock()
	defer c.fnMu.RUnlock()
	return len(c.fns)
}

// Function is one function's state; false when there is none of this number.
func (c *Core) Function(now time.Duration, id FnID) (i FunctionInfo, ok bool) {
	f := c.fn(id)
	if f == nil {
		return i, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clamp(now)
	f.info(&i)
	return i, true
}

func (f *function) info(i *FunctionInfo) {
	*i = FunctionInfo{
		Fn: f.id, Function: *f.cfg, Ready: f.ready, Idle: f.idle, Starting: f.starting.n, Stopping: f.stopping,
		Waiting: f.line.n, Leased: f.leases.n, Want: f.want, Why: f.whyFor, Admits: f.share.admits(1),
		Start: f.start.times(), Service: f.service.times(), Count: f.count,
		Failures: f.failures, LastFailure: f.lastFailed, Deserved: f.deserved.Load(), RetryIn: max(0, f.retryAt-f.now), Concurrency: f.share.limit,
	}
	if f.line.head != nil {
		i.OldestWait = f.now - f.line.head.arrived
	}
	for _, c := range f.all {
		i.Booked += c.memory
	}
	if f.share.mem.n > 0 {
		i.MemoryBase, i.MemoryEach, _ = f.share.mem.line()
	}
	if f.share.cpuWeight > 0 {
		i.CPUPerCallTime = f.share.cpu / f.share.cpuWeight
	}
	i.Count.EventsLost = f.lostBefore + uint64(f.eventsLost)
	i.Count.Idle, i.Count.Starting, i.Count.Stopping, i.Count.ReadyIn = f.idleTotal, f.startTime, f.stopTime, f.readyTime
}

// NodeInfo is a node as it is at a moment.
type NodeInfo struct {
	ID         NodeID
	Node       cluster.Node
	Booked     int64
	Containers int
	Draining   bool
	Releasing  bool
	Lost       bool
	Since      time.Duration // held for
}

// ClusterInfo is what is known of nodes.
type ClusterInfo struct {
	Nodes                           []NodeInfo
	Asked                           int // being reserved
	Target                          int
	Why                             Reason
	Peak                            int
	InLine                          int           // functions that wait for memory
	NodeTime                        time.Duration // node-time held
	Reserved, Failed, Released      uint64
	Lost, Reclaimed, ContainersMade uint64
	Lead                            Times
}

// Cluster tells of the nodes.
func (c *Core) Cluster(now time.Duration) ClusterInfo {
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally(now)
	i := ClusterInfo{Asked: len(l.asked), Target: l.target, Why: l.targetWhy, Peak: l.peak, InLine: len(l.line), NodeTime: l.nodeTime,
		Reserved: l.reserved, Failed: l.reserveNo, Released: l.released, Lost: l.lostNodes, Reclaimed: l.reclaimed,
		ContainersMade: uint64(l.lastCont), Lead: l.leads.times()}
	for _, n := range l.nodes {
		i.Nodes = append(i.Nodes, NodeInfo{ID: n.id, Node: *n.desc, Booked: n.booked, Containers: len(n.containers),
			Draining: n.drains.Load(), Releasing: n.releasing, Lost: n.lost.Load(), Since: now - n.readyAt})
	}
	return i
}

// Knows says whether a container of this name, the node's, is on the books.
func (c *Core) Knows(containerID string) bool { return c.find(containerID) != nil }

// Shutdown begins the end: nothing is started any more, waiting calls are told, and every container goes when
// its calls have returned, every node when it is empty.
func (c *Core) Shutdown(now time.Duration, fx *Effects) {
	c.closing.Store(true)
	l := c.ledger
	l.mu.Lock()
	l.shuttingDown = true
	l.target, l.line = 0, nil
	l.mu.Unlock()
	c.fnMu.RLock()
	fns := c.fns[:len(c.fns):len(c.fns)]
	c.fnMu.RUnlock()
	for _, f := range fns {
		f.mu.Lock()
		f.clamp(now)
		f.want, f.retryAt = 0, never
		f.lastFailed = "the scheduler is stopping"
		f.failures = max(f.failures, 1)
		f.failLine(fx)
		for _, ct := range f.ordered() {
			f.stop(ct, Reason{Cause: CauseShutdown}, fx)
		}
		f.mu.Unlock()
		c.settle(now, fx)
	}
	l.mu.Lock()
	l.trim(now, c, fx)
	l.mu.Unlock()
}

// Empty says whether nothing exists any more: no container, no node, no order under way.
func (c *Core) Empty() bool {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	return len(c.ledger.nodes) == 0 && len(c.ledger.asked) == 0
}
