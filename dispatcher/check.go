package dispatcher

import "fmt"

// Check holds a core at rest, in which no call is under way, against its invariants. It looks at everything that
// exists: it is for tests and for virtual time.
func (c *Core) Check() error {
	c.fnMu.RLock()
	fns := c.fns[:len(c.fns):len(c.fns)]
	c.fnMu.RUnlock()
	booked := map[*node]int64{}
	for _, f := range fns {
		f.mu.Lock()
		err := f.check(booked)
		f.mu.Unlock()
		if err != nil {
			return fmt.Errorf("function %q: %w", f.cfg.Name, err)
		}
	}
	return c.ledger.check(booked)
}

func (f *function) check(booked map[*node]int64) error {
	var readyN, idle, startingN, stoppingN, leases, covered int
	for _, c := range f.all {
		booked[c.node] += c.memory
		leases += c.leases
		n := 0
		for k := c.calls; k != nil; k = k.cnext {
			if k.c != c || f.calls[k.id] != k {
				return fmt.Errorf("container %d holds the lease of %q, which is not its own", c.id, k.id)
			}
			n++
		}
		if n != c.leases {
			return fmt.Errorf("container %d counts %d leases and holds %d", c.id, c.leases, n)
		}
		admits := f.share.admits(c.units)
		switch {
		case c.state == starting:
			startingN++
			if c.leases > 0 {
				return fmt.Errorf("container %d is starting and holds leases", c.id)
			}
		case c.state == stopping:
			stoppingN++
			if c.leases > 0 {
				return fmt.Errorf("container %d is being stopped and holds leases", c.id)
			}
		case c.retiring:
			if c.leases == 0 {
				return fmt.Errorf("container %d is retiring, idle, and not being stopped", c.id)
			}
		default:
			readyN++
			covered += c.covers
			if !c.node.drains.Load() && c.covers != admits {
				return fmt.Errorf("container %d covers %d and admits %d", c.id, c.covers, admits)
			}
			if c.leases == 0 {
				idle++
			}
			if (c.bucket != noRoom) != (c.leases < admits) {
				return fmt.Errorf("container %d holds %d of %d leases and its bucket is %d", c.id, c.leases, admits, c.bucket)
			}
			if c.bucket != noRoom && c.bucket != lastRoom && c.bucket != c.leases {
				return fmt.Errorf("container %d holds %d leases and is in bucket %d", c.id, c.leases, c.bucket)
			}
		}
		if c.retiring && c.bucket != noRoom {
			return fmt.Errorf("container %d is retiring and still to be chosen", c.id)
		}
		if c.state == ready && f.core.find(c.wire) != c {
			return fmt.Errorf("container %d is not found by its name %q", c.id, c.wire)
		}
		if c.node.containers[c.id] != c {
			return fmt.Errorf("container %d is not on its node's list", c.id)
		}
	}
	if readyN != f.ready || idle != f.idle || startingN != f.starting.n || stoppingN != f.stopping || covered != f.covered {
		return fmt.Errorf("counts ready %d idle %d starting %d stopping %d covered %d, has %d %d %d %d %d",
			f.ready, f.idle, f.starting.n, f.stopping, f.covered, readyN, idle, startingN, stoppingN, covered)
	}
	if leases != f.leases.n || len(f.calls) != f.leases.n+f.line.n {
		return fmt.Errorf("%d leases in containers, %d listed, %d in line, %d known", leases, f.leases.n, f.line.n, len(f.calls))
	}
	if f.line.n > 0 && f.pick() != nil {
		return fmt.Errorf("%d calls wait while container %d has room", f.line.n, f.pick().id)
	}
	if f.line.n > 0 && f.dueAt == never {
		return fmt.Errorf("%d calls wait and nobody will look after them", f.line.n)
	}
	return nil
}

func (l *ledger) check(booked map[*node]int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.nodes) + len(l.asked); n > l.opts.MaxNodes {
		return fmt.Errorf("%d nodes, at most %d may be", n, l.opts.MaxNodes)
	}
	for _, n := range l.nodes {
		if n.booked != booked[n] {
			return fmt.Errorf("node %d: %d bytes booked, its containers have %d", n.id, n.booked, booked[n])
		}
		if n.booked > n.desc.Memory {
			return fmt.Errorf("node %d: %d bytes booked of %d", n.id, n.booked, n.desc.Memory)
		}
		if n.releasing && !n.lost.Load() && n.booked > 0 {
			return fmt.Errorf("node %d is released and holds containers", n.id)
		}
	}
	seen := map[*function]bool{}
	for _, q := range l.line {
		if seen[q.f] {
			return fmt.Errorf("function %q stands twice in the line for memory", q.f.cfg.Name)
		}
		seen[q.f] = true
	}
	return nil
}

// Sizes counts what a Core keeps, for tests that watch for growth.
type Sizes struct {
	Functions  int
	Calls      int // waiting or leased
	Containers int // that are not gone
	Names      int // containers in the index
	Nodes      int
	Orders     int // without a result
	Due        int // entries of functions that have something to do by time alone
	Line       int // functions that wait for memory
}

// Sizes counts what c keeps now. Like Check it looks at everything.
func (c *Core) Sizes() (s Sizes) {
	c.fnMu.RLock()
	fns := c.fns[:len(c.fns):len(c.fns)]
	c.fnMu.RUnlock()
	s.Functions = len(fns)
	for _, f := range fns {
		f.mu.Lock()
		s.Calls += len(f.calls)
		s.Containers += len(f.all)
		f.mu.Unlock()
	}
	for i := range c.index {
		c.index[i].RLock()
		s.Names += len(c.index[i].m)
		c.index[i].RUnlock()
	}
	c.orders.Lock()
	s.Orders = len(c.orders.m)
	c.orders.Unlock()
	c.due.mu.Lock()
	s.Due = len(c.due.h)
	c.due.mu.Unlock()
	c.ledger.mu.Lock()
	s.Nodes, s.Line = len(c.ledger.nodes), len(c.ledger.line)
	c.ledger.mu.Unlock()
	return s
}
