package dispatcher

import (
	"time"

	"github.com/forewarm/forewarm/cluster"
)

func specOf(c *container) cluster.Container { return cluster.Container{Name: c.name, Memory: c.memory} }

// Started says that the container of a start order is ready, under the name that its node gave it.
func (c *Core) Started(now time.Duration, order uint64, containerID string, fx *Effects) error {
	ref, err := c.orders.close(order, StartContainer)
	if err != nil {
		return err
	}
	f := ref.c.fn
	f.mu.Lock()
	f.clamp(now)
	f.started(ref.c, containerID, fx)
	f.mu.Unlock()
	c.settle(now, fx)
	return nil
}

func (f *function) started(c *container, id string, fx *Effects) {
	if c.state != starting { // its node was lost meanwhile
		return
	}
	took := f.now - c.orderedAt
	f.starting.remove(c)
	c.wire, c.order = id, 0
	if id == "" || !f.core.name(c) {
		c.wire = ""
		f.failures++
		f.count.StartFailed++
		f.lastFailed = "the node named the container " + quoteShort(id) + ", which is empty or in use"
		f.backOff(c)
		f.removed(c, fx)
		f.balance(fx)
		return
	}
	f.learnStart(took)
	f.count.Started++
	f.failures, f.retryAt, f.lastFailed = 0, 0, ""
	c.state, c.readyAt = ready, f.now
	c.idleSince, c.idleSeq = f.now, f.newsSeq
	c.busyFrom, c.readFrom = f.now, f.now
	if c.retiring {
		f.stop(c, c.why, fx)
	} else {
		f.ready++
		f.idle++
		f.cover(c)
		f.enroll(c)
		f.dueBy(f.now + f.keepAlive())
	}
	f.balance(fx)
}

func (f *function) learnStart(took time.Duration) {
	if f.start == nil {
		f.start = new(hist)
	}
	f.start.add(took)
	s := &f.core.starts
	s.Lock()
	s.add(took)
	s.Unlock()
}

// StartFailed says that a start order came to nothing.
func (c *Core) StartFailed(now time.Duration, order uint64, why Failure, fx *Effects) error {
	ref, err := c.orders.close(order, StartContainer)
	if err != nil {
		return err
	}
	f := ref.c.fn
	f.mu.Lock()
	f.clamp(now)
	if ref.c.state == starting {
		f.starting.remove(ref.c)
		f.count.StartFailed++
		f.lastFailed = why.Err
		if f.line.n > 0 && !why.Fatal && !why.NodeLost {
			f.core.ledger.noteFailed(ref.c.node, f.now)
		}
		if !why.NodeLost && !why.Memory { // the fault may be the function's own
			f.failures++
			f.backOff(ref.c)
		}
		f.removed(ref.c, fx)
		if why.Fatal {
			f.failLine(fx)
		}
		if f.broken() {
			f.refuseLine(f.whyBroken(), fx)
		}
	}
	f.mu.Unlock()
	if why.Memory {
		c.ledger.overrated(ref.c.node, ref.c.memory, now)
	}
	if why.NodeLost {
		c.lostNode(now, ref.c.node, fx)
	}
	f.mu.Lock()
	f.balance(fx)
	f.mu.Unlock()
	c.settle(now, fx)
	return nil
}

// backOff puts off the next start: RetryMin, doubled with each failure in a row, and up to half as much again
// by the container's number, so that functions that failed together do not retry together.
func (f *function) backOff(c *container) {
	o := &f.core.opts
	pause := min(o.RetryMin<<min(f.failures-1, 20), o.RetryMax)
	pause += pause * time.Duration(uint32(c.id)*2654435761>>24) / 512
	f.retryAt = f.now + pause
	f.dueBy(f.retryAt)
}

// failLine ends all waits, for a fault that trying again cannot mend.
func (f *function) failLine(fx *Effects) {
	for f.line.head != nil {
		f.giveUp(f.line.head, fx)
	}
}

// refuseLine ends all waits with an error.
func (f *function) refuseLine(err error, fx *Effects) {
	for f.line.head != nil {
		f.count.Refused++
		f.endWait(f.line.head, err, fx)
	}
}

// Stopped says that the container of a stop order is gone.
func (c *Core) Stopped(now time.Duration, order uint64, fx *Effects) error {
	ref, err := c.orders.close(order, StopContainer)
	if err != nil {
		return err
	}
	f := ref.c.fn
	f.mu.Lock()
	f.clamp(now)
	if ref.c.state == stopping {
		f.tally()
		f.stopping--
		f.count.Stopped++
		f.removed(ref.c, fx)
	}
	f.mu.Unlock()
	c.settle(now, fx)
	return nil
}

// StopFailed says that a stop order failed; it is given again after a pause.
func (c *Core) StopFailed(now time.Duration, order uint64, why Failure, fx *Effects) error {
	ref, err := c.orders.close(order, StopContainer)
	if err != nil {
		return err
	}
	f := ref.c.fn
	f.mu.Lock()
	f.clamp(now)
	if ref.c.state == stopping && !why.NodeLost {
		f.orderStop(ref.c, f.now+f.core.opts.RetryMax/5, fx)
	}
	f.mu.Unlock()
	if why.NodeLost {
		c.lostNode(now, ref.c.node, fx)
	}
	c.settle(now, fx)
	return nil
}

// retire takes a container out of use: it gets no more leases.
func (f *function) retire(c *container, why Reason) {
	if c.retiring || c.state == stopping || c.state == gone {
		return
	}
	f.tally()
	c.retiring, c.why = true, why
	c.going.Store(true)
	if c.state == starting {
		return
	}
	f.withdraw(c)
	f.uncover(c)
	f.ready--
	if c.leases == 0 {
		f.idle--
	}
}

// stop takes a container out of use, and ends it when it holds no lease any more: now, or at its last return.
func (f *function) stop(c *container, why Reason, fx *Effects) {
	f.retire(c, why)
	if c.state == ready && c.leases == 0 {
		f.tally()
		f.orderedStop(c, fx)
	}
}

// drain moves a container whose node is being emptied behind the others, or back. It does not count as cover
// there, so that another is started elsewhere first if its level is wanted.
func (f *function) drain(c *container) {
	if c.state != ready || c.retiring {
		return
	}
	f.withdraw(c)
	f.uncover(c)
	f.cover(c)
	f.enroll(c)
}

func (f *function) orderedStop(c *container, fx *Effects) {
	c.state = stopping
	f.stopping++
	f.orderStop(c, 0, fx)
}

func (f *function) orderStop(c *container, notBefore time.Duration, fx *Effects) {
	c.order = f.core.orders.open(orderRef{kind: StopContainer, c: c})
	why := c.why
	why.Memory, why.Units = c.memory, c.units
	fx.Orders = append(fx.Orders, Order{ID: c.order, Kind: StopContainer, Fn: f.id, NodeID: c.node.id, Container: c.id,
		NotBefore: notBefore, Node: c.node.desc, Function: c.cfg, Spec: specOf(c), ContainerID: c.wire, Why: why})
}

// removed forgets a container that is no more and gives its memory back.
func (f *function) removed(c *container, fx *Effects) {
	f.tally()
	c.state = gone
	f.core.forget(c)
	delete(f.all, c.id)
	f.core.ledger.removeContainer(c)
	fx.work = append(fx.work, work{kind: workUnbook, f: f, n: c.node, mem: c.memory})
}

// lose takes a container off the books whose node is gone. Its leases end: a later Return finds none.
func (f *function) lose(c *container, fx *Effects) {
	if c.state == gone {
		return
	}
	for c.calls != nil {
		f.endLease(c.calls, fx)
	}
	f.tally()
	switch c.state {
	case starting:
		f.starting.remove(c)
		f.count.StartFailed++
	case stopping:
		f.stopping--
	case ready:
		f.withdraw(c)
		if !c.retiring {
			f.uncover(c)
			f.ready--
			f.idle--
		}
	}
	f.removed(c, fx)
}

func quoteShort(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return `"` + s + `"`
}
