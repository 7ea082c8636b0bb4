package dispatcher

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// reserve asks for the nodes that the planner wants and that a shortage of so many bytes calls for.
func (l *ledger) reserve(now time.Duration, c *Core, short int64, fx *Effects) {
	if l.shuttingDown || now < l.retryAt {
		return
	}
	sold := l.nodeMemory()
	lack := int(short/sold) - len(l.asked)
	if short > 0 && len(l.asked) == 0 { // less than a node's worth: once the first is there others may have what is left
		lack = max(lack, 1)
	}
	why := Reason{Cause: CauseCapacity, Memory: short, Lead: l.leads.quantile(.5)}
	if ahead := l.planned(now) - len(l.nodes) - len(l.asked); ahead > lack {
		lack, why = ahead, l.targetWhy
	}
	if room := l.opts.MaxNodes - len(l.nodes) - len(l.asked); lack > room {
		lack, why.Clip = room, ClipNodes
	}
	if l.failures > 0 {
		lack = min(lack, 1-len(l.asked)) // feel the way when the manager had none
	}
	for ; lack > 0; lack-- {
		l.debt = 0 // it is bought: only what is late in spite of it speaks for another
		account := ""
		if len(l.line) > 0 {
			account = l.line[0].f.account
		} else if len(l.nodes) > 0 {
			account = l.nodes[0].account
		}
		r := &reservation{order: c.orders.open(orderRef{kind: ReserveNode, n: &node{account: account}}), since: now}
		l.asked = append(l.asked, r)
		fx.Orders = append(fx.Orders, Order{ID: r.order, Kind: ReserveNode, Account: account, Why: why})
	}
}

// planned is how many nodes the planner wants, 0 when it has been silent.
func (l *ledger) planned(now time.Duration) int {
	if l.shuttingDown || now-l.targetAt > l.opts.NodeIdle {
		return 0
	}
	return l.target
}

// unasked takes a reservation off the list and says when it was made.
func (l *ledger) unasked(order uint64) time.Duration {
	for i, r := range l.asked {
		if r.order == order {
			l.asked = slices.Delete(l.asked, i, i+1)
			return r.since
		}
	}
	return 0
}

// NodeReady says that a node was reserved. A description that cannot be right is an error; the node should be
// released by whoever reserved it.
func (c *Core) NodeReady(now time.Duration, order uint64, desc cluster.Node, fx *Effects) error {
	ref, err := c.orders.close(order, ReserveNode)
	if err != nil {
		return err
	}
	l := c.ledger
	l.mu.Lock()
	l.tally(now)
	since := l.unasked(order)
	if err := l.sane(&desc); err != nil {
		l.failed(now)
		l.mu.Unlock()
		return err
	}
	l.leads.add(now - since)
	l.reserved++
	l.failures, l.retryAt = 0, 0
	l.lastNode++
	l.grewAt.Store(int64(now))
	l.debt = 0
	l.late.Store(0)
	n := &node{id: l.lastNode, desc: &desc, capacity: desc.Memory, available: -1, containers: map[ContainerID]*container{},
		emptySince: now, readyAt: now, account: ref.n.account}
	l.nodes = append(l.nodes, n)
	l.soldMemory.Store(desc.Memory)
	l.peak = max(l.peak, len(l.nodes))
	l.provide(now, c, fx)
	if l.shuttingDown {
		l.trim(now, c, fx)
	}
	l.mu.Unlock()
	c.settle(now, fx)
	return nil
}

func (l *ledger) sane(d *cluster.Node) error {
	if d.ID == "" || d.Memory <= 0 {
		return fmt.Errorf("%w: the manager gave a node with id %.64q and %d bytes of memory; both are needed, and it should be released", ErrInvalid, d.ID, d.Memory)
	}
	for _, n := range l.nodes {
		if n.desc.ID == d.ID {
			return fmt.Errorf("%w: the manager gave node %.64q, which is held already; it must not be handed out twice", ErrInvalid, d.ID)
		}
	}
	return nil
}

// ReserveFailed says that no node came of a reservation. It is made again after a pause while one is needed.
func (c *Core) ReserveFailed(now time.Duration, order uint64, why Failure, fx *Effects) error {
	if _, err := c.orders.close(order, ReserveNode); err != nil {
		return err
	}
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally(now)
	l.unasked(order)
	l.lastRefusal = why.Err
	l.failed(now)
	return nil
}

// noteFailed keeps a node on which a start failed for its next try.
func (l *ledger) noteFailed(n *node, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.failedAt = now
}

// refusal is why the manager gave no node when it was last asked; "" when it gave one since.
func (l *ledger) refusal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures == 0 {
		return ""
	}
	return l.lastRefusal
}

// askAgain is the longest pause before a manager that had no node is asked again: nodes come back one by one.
const askAgain = time.Second

func (l *ledger) failed(now time.Duration) {
	l.reserveNo++
	l.failures++
	l.retryAt = now + min(l.opts.RetryMin<<min(l.failures-1, 20), min(l.opts.RetryMax, askAgain))
}

// Released says that a node was given back.
func (c *Core) Released(now time.Duration, order uint64, fx *Effects) error {
	ref, err := c.orders.close(order, ReleaseNode)
	if err != nil {
		return err
	}
	l := c.ledger
	l.mu.Lock()
	l.tally(now)
	l.released++
	l.nodes = slices.DeleteFunc(l.nodes, func(n *node) bool { return n == ref.n })
	l.provide(now, c, fx)
	l.mu.Unlock()
	c.settle(now, fx)
	return nil
}

// ReleaseFailed says that a node could not be given back; it is tried again after a pause.
func (c *Core) ReleaseFailed(now time.Duration, order uint64, why Failure, fx *Effects) error {
	ref, err := c.orders.close(order, ReleaseNode)
	if err != nil {
		return err
	}
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orderRelease(c, ref.n, now+l.opts.RetryMax/5, ref.n.releaseWhy(), fx)
	return nil
}

func (n *node) releaseWhy() Reason {
	if n.lost.Load() {
		return Reason{Cause: CauseNodeLost}
	}
	return Reason{Cause: CauseNodeIdle, Memory: n.capacity}
}

func (l *ledger) orderRelease(c *Core, n *node, notBefore time.Duration, why Reason, fx *Effects) {
	n.releasing = true
	id := c.orders.open(orderRef{kind: ReleaseNode, n: n})
	fx.Orders = append(fx.Orders, Order{ID: id, Kind: ReleaseNode, NodeID: n.id, Node: n.desc, NotBefore: notBefore, Why: why})
}

// SetNodes takes a planner's word on how many nodes are to be held.
func (c *Core) SetNodes(now time.Duration, t NodeTarget, fx *Effects) error {
	if t.Want < 0 {
		return fmt.Errorf("%w: %d nodes are wanted, it must not be negative", ErrInvalid, t.Want)
	}
	l := c.ledger
	l.mu.Lock()
	l.tally(now)
	l.target, l.targetWhy, l.targetAt = t.Want, t.Why, now
	l.provide(now, c, fx)
	l.trim(now, c, fx)
	l.mu.Unlock()
	c.settle(now, fx)
	return nil
}

// trim releases empty nodes beyond those wanted, and begins to empty one more when the rest has room for what it holds.
func (l *ledger) trim(now time.Duration, c *Core, fx *Effects) {
	for _, q := range l.line {
		if q.class == needed {
			return
		}
	}
	planned := now-l.targetAt <= l.opts.NodeIdle
	live := l.live()
	for _, n := range slices.Backward(live) {
		if n.booked > 0 || len(live) <= l.planned(now) && !n.cordoned {
			continue
		}
		if n.failedAt > 0 && now < n.failedAt+2*l.opts.RetryMax && !n.cordoned && !l.shuttingDown {
			continue
		}
		if !n.cordoned && !planned && now < n.emptySince+l.opts.NodeIdle && !l.shuttingDown {
			continue
		}
		why := Reason{Cause: CauseNodeIdle, Want: int32(l.target), Idle: now - n.emptySince, Memory: n.capacity}
		l.orderRelease(c, n, 0, why, fx)
		live = l.live()
	}
	if planned && len(live) > max(l.planned(now), 1) {
		l.drainOne(live, fx)
	}
}

func (l *ledger) live() []*node {
	live := make([]*node, 0, len(l.nodes))
	for _, n := range l.nodes {
		if !n.releasing && !n.lost.Load() {
			live = append(live, n)
		}
	}
	return live
}

// wanted is what is booked on a node but for spare containers.
func (n *node) wanted() int64 {
	sum := n.booked
	for _, ct := range n.containers {
		if ct.spare.Load() && !ct.going.Load() {
			sum -= ct.memory
		}
	}
	return sum
}

// drainOne empties the node with the least memory that is wanted if the others have room for it. One at a time.
func (l *ledger) drainOne(live []*node, fx *Effects) {
	emptiest := slices.MinFunc(live, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.wanted(), b.wanted()), cmp.Compare(b.id, a.id))
	})
	var room int64
	for _, n := range live {
		if n.drains.Load() {
			return
		}
		if n != emptiest {
			room += n.free()
		}
	}
	if room < emptiest.wanted()+l.nodeMemory()/8 {
		return
	}
	emptiest.setDrains(true, fx)
}

func sortedByID(m map[ContainerID]*container) []*container {
	cs := make([]*container, 0, len(m))
	for _, c := range m {
		cs = append(cs, c)
	}
	slices.SortFunc(cs, func(a, b *container) int { return cmp.Compare(a.id, b.id) })
	return cs
}

// NodeLost says that a node does not answer or is not ours any more. Its containers are off the books, their
// leases end, and calls that waited for them go elsewhere.
func (c *Core) NodeLost(now time.Duration, id NodeID, fx *Effects) error {
	n := c.ledger.node(id)
	if n == nil {
		return fmt.Errorf("%w: %d; it was released, or never held", ErrUnknownNode, id)
	}
	c.lostNode(now, n, fx)
	c.settle(now, fx)
	return nil
}

func (l *ledger) node(id NodeID) *node {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

func (c *Core) lostNode(now time.Duration, n *node, fx *Effects) {
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally(now)
	if n.lost.Swap(true) {
		return
	}
	l.lostNodes++
	for _, ct := range sortedByID(n.containers) {
		fx.work = append(fx.work, work{kind: workLost, f: ct.fn, c: ct})
	}
	if !n.releasing { // the manager should not go on charging for it
		l.orderRelease(c, n, 0, Reason{Cause: CauseNodeLost}, fx)
	}
}

// NodeStats revises what is known of a node by its own reading. Readings of containers teach how many requests
// one can hold.
func (c *Core) NodeStats(now time.Duration, id NodeID, s cluster.Stats, fx *Effects) error {
	n := c.ledger.node(id)
	if n == nil {
		return fmt.Errorf("%w: %d; it was released, or never held", ErrUnknownNode, id)
	}
	l := c.ledger
	l.mu.Lock()
	l.tally(now)
	if s.Node.TotalMemory > 0 {
		n.available = max(0, s.Node.TotalMemory-s.Node.UsedMemory)
	}
	l.provide(now, c, fx)
	l.mu.Unlock()
	for _, r := range s.Containers {
		if ct := c.find(r.ID); ct != nil && ct.node == n {
			ct.fn.read(now, ct, r, fx)
		}
	}
	c.settle(now, fx)
	return nil
}

// read learns from a node's reading of a container.
func (f *function) read(now time.Duration, c *container, r cluster.ContainerStats, fx *Effects) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clamp(now)
	c.meter(f.now)
	elapsed := f.now - c.readFrom
	if c.state != ready || elapsed <= 0 {
		return
	}
	f.share.read(r.CPU/100*elapsed.Seconds(), c.busy.Seconds(), c.cfg.Memory)
	c.busy, c.readFrom = 0, f.now
	f.recount()
	f.balance(fx) // it may admit more now
}

// tick retries reservations and looks for nodes to release, and says when it wants to do so again.
func (l *ledger) tick(now time.Duration, c *Core, fx *Effects) time.Duration {
	l.mu.Lock()
	l.tally(now)
	l.rate(now)
	l.provide(now, c, fx)
	l.trim(now, c, fx)
	l.mu.Unlock()
	c.settle(now, fx)
	return l.nextDue()
}

func (l *ledger) nextDue() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := never
	if len(l.line) > 0 {
		next = l.tallied + 20*time.Millisecond
	}
	if l.retryAt > l.tallied {
		next = min(next, l.retryAt)
	}
	for _, n := range l.nodes {
		if n.booked == 0 && !n.releasing {
			next = min(next, max(n.emptySince+l.opts.NodeIdle, l.tallied+l.opts.NodeIdle/4))
		}
	}
	return next
}

func (l *ledger) report(n *NodeNews) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*n = NodeNews{Live: len(l.live()), Reserving: len(l.asked), Memory: l.nodeMemory(), Lead: l.leads.times()}
	for f, booked := range l.functions {
		n.Booked += min(booked, f.deserved.Load())
	}
	if len(l.line) > 0 && !l.givesWay {
		n.Queued = l.short
	}
	for _, q := range l.line {
		n.Queued += q.promised
	}
}
