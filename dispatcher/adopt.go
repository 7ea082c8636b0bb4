package dispatcher

import (
	"fmt"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// Adopted is a container that an earlier run of the scheduler started.
type Adopted struct {
	Node        NodeID
	Function    cluster.Function
	Concurrency int
	ID          string // the node's name of it
	Name        string // ours
	Units       int32
	Memory      int64 // bytes booked
	Slot        int   // its place in Options.Leases
	Leases      int   // that were live; what is not known counts as full, never as one too few
}

// AdoptNode takes a node that an earlier run reserved into the books. Nodes are adopted before containers, and both
// before the first call.
func (c *Core) AdoptNode(now time.Duration, desc cluster.Node, account string) (NodeID, error) {
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally(now)
	if err := l.sane(&desc); err != nil {
		return 0, err
	}
	l.lastNode++
	n := &node{id: l.lastNode, desc: &desc, capacity: desc.Memory, available: -1, containers: map[ContainerID]*container{},
		emptySince: now, readyAt: now, account: account}
	l.nodes = append(l.nodes, n)
	l.soldMemory.Store(desc.Memory)
	l.tally(now)
	return n.id, nil
}

// Adopt takes a container of an adopted node into the books, ready. Its leases end by their Returns, whatever
// request they name, or when the function's timeout and the grace are over.
func (c *Core) Adopt(now time.Duration, a Adopted, fx *Effects) error {
	r := Request{ID: a.ID, Function: a.Function, Concurrency: a.Concurrency}
	if err := r.check(c.ledger.nodeMemory()); err != nil {
		return fmt.Errorf("adopt container %q: %w", a.Name, err)
	}
	n := c.ledger.node(a.Node)
	if n == nil {
		return fmt.Errorf("adopt container %q: %w: %d", a.Name, ErrUnknownNode, a.Node)
	}
	if a.Units < 1 || a.Units&(a.Units-1) != 0 || a.Memory < 0 || a.Leases < 0 {
		return fmt.Errorf("%w: adopt container %q: %d units, %d bytes, %d leases", ErrInvalid, a.Name, a.Units, a.Memory, a.Leases)
	}
	f := c.lookup(&r)
	f.mu.Lock()
	f.clamp(now)
	err := f.adopt(n, &a, fx)
	f.mu.Unlock()
	c.settle(now, fx)
	return err
}

func (f *function) adopt(n *node, a *Adopted, fx *Effects) error {
	ct := f.core.ledger.adoptContainer(f, n, a)
	ct.wire, ct.name = a.ID, a.Name
	ct.bucket, ct.orderedAt, ct.readyAt = noRoom, f.now, f.now
	if a.ID == "" || !f.core.name(ct) {
		f.core.ledger.removeContainer(ct)
		fx.work = append(fx.work, work{kind: workUnbook, f: f, n: n, mem: ct.memory})
		return fmt.Errorf("%w: adopt container %q: its id %q is empty or in use", ErrInvalid, a.Name, a.ID)
	}
	f.tally()
	ct.state = ready
	ct.idleSince, ct.idleSeq = f.now, f.newsSeq
	ct.busyFrom, ct.readFrom = f.now, f.now
	if f.all == nil {
		f.all = map[ContainerID]*container{}
	}
	f.all[ct.id] = ct
	f.ready++
	f.idle++
	f.cover(ct)
	for i := range a.Leases {
		f.tell(Arrived, 0, fx)
		k := f.newCall(&Request{ID: fmt.Sprintf("%s%d-%d", ghost, ct.id, i)})
		k.served = Warm
		f.grant(k, ct)
	}
	f.enroll(ct)
	f.dueBy(f.now + f.keepAlive())
	return nil
}

// ghost begins the made-up request ids of adopted leases. No caller's id begins so: see Request.check.
const ghost = "\x00adopted-"

// ghostOf is an adopted lease of ct whose request is not known, for a Return that names another one.
func (f *function) ghostOf(ct *container) *call {
	for k := ct.calls; k != nil; k = k.cnext {
		if len(k.id) > len(ghost) && k.id[:len(ghost)] == ghost {
			return k
		}
	}
	return nil
}

// Declare makes a function known before its first call, and tells the planner of it.
func (c *Core) Declare(now time.Duration, fn cluster.Function, concurrency int) (FnID, error) {
	r := Request{ID: "declared", Function: fn, Concurrency: concurrency}
	if err := r.check(c.ledger.nodeMemory()); err != nil {
		return 0, err
	}
	f := c.lookup(&r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clamp(now)
	f.announce()
	return f.id, nil
}
