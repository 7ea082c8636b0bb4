package dispatcher

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrPaused means that an operator has the function paused.
var ErrPaused = errors.New("the function is paused")

// ErrLimit means that a limit of the function's account is reached.
var ErrLimit = errors.New("a limit of the account is reached")

// Limits of one function. What is 0 is not limited.
type Limits struct {
	Containers int  // that exist or are starting
	Waiting    int  // calls in line; beside Options.MaxLine
	Paused     bool // takes no calls, and holds nothing
}

// AccountLimits of all functions of an account together. What is 0 is not limited.
type AccountLimits struct {
	Containers  int
	Waiting     int
	MemoryShare float64 // of the memory of all nodes that may be held, in (0,1]
}

// account is what is counted of an account. The ledger's mutex guards limits and containers.
type account struct {
	limits     AccountLimits
	containers int
	waiting    atomic.Int64 // calls in line
	mayWait    atomic.Int64 // as limits.Waiting
}

// SetLimits bounds a function from now on. Containers beyond the bound stay until they are idle.
func (c *Core) SetLimits(now time.Duration, id FnID, l Limits, fx *Effects) error {
	f := c.fn(id)
	if f == nil {
		return fmt.Errorf("%w: there is no function %d", ErrInvalid, id)
	}
	if l.Containers < 0 || l.Waiting < 0 {
		return fmt.Errorf("%w: limits of %d containers and %d waiting calls must not be negative", ErrInvalid, l.Containers, l.Waiting)
	}
	f.mu.Lock()
	f.clamp(now)
	f.limits = l
	if l.Paused {
		f.refuseLine(fmt.Errorf("%w: %q", ErrPaused, f.cfg.Name), fx)
		for _, ct := range f.ordered() {
			f.stop(ct, Reason{Cause: CauseSurplus, Clip: ClipMax}, fx)
		}
	}
	f.balance(fx)
	f.mu.Unlock()
	c.settle(now, fx)
	return nil
}

// SetAccountLimits bounds an account from now on.
func (c *Core) SetAccountLimits(name string, l AccountLimits) error {
	if l.Containers < 0 || l.Waiting < 0 || l.MemoryShare < 0 || l.MemoryShare > 1 {
		return fmt.Errorf("%w: limits of account %q: %d containers and %d waiting calls must not be negative, the share of memory %v not outside 0 to 1",
			ErrInvalid, name, l.Containers, l.Waiting, l.MemoryShare)
	}
	led := c.ledger
	led.mu.Lock()
	defer led.mu.Unlock()
	a := led.account(name)
	a.limits = l
	a.mayWait.Store(int64(l.Waiting))
	return nil
}

// tenant is account for those who do not hold the ledger's mutex.
func (l *ledger) tenant(name string) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(name)
}

// account finds what is counted of an account, or begins to count.
func (l *ledger) account(name string) *account {
	a := l.tenants[name]
	if a == nil {
		a = &account{}
		l.tenants[name] = a
	}
	return a
}

// within says whether an account may book so much for one more container.
func (l *ledger) within(f *function, memory int64) bool {
	a := l.tenants[f.account]
	if a == nil {
		return true
	}
	if a.limits.Containers > 0 && a.containers >= a.limits.Containers {
		return false
	}
	all := float64(l.opts.MaxNodes) * float64(l.nodeMemory())
	return a.limits.MemoryShare == 0 || float64(l.accounts[f.account]+memory) <= a.limits.MemoryShare*all
}

// mayWait counts one more call into the function's line, or says why it may not stand there.
func (f *function) mayWait() error {
	if limit := f.limits.Waiting; limit > 0 && f.line.n >= limit {
		return f.lineFull(fmt.Errorf("%w: function %q has %d in line, as many as may", ErrLineFull, f.cfg.Name, f.line.n))
	}
	if f.line.n >= f.core.opts.MaxLine {
		return f.lineFull(fmt.Errorf("%w: function %q has %d in line", ErrLineFull, f.cfg.Name, f.line.n))
	}
	a := f.tenant
	if n := a.waiting.Add(1); a.mayWait.Load() > 0 && n > a.mayWait.Load() {
		a.waiting.Add(-1)
		return f.lineFull(fmt.Errorf("%w: account %q has %d calls in line, as many as may", ErrLimit, f.account, n-1))
	}
	return nil
}

// full says whether the function has as many containers as may be.
func (f *function) full() bool {
	return f.limits.Paused || f.limits.Containers > 0 && f.ready+f.starting.n >= f.limits.Containers
}

// DrainNode takes a node out of use, or with undo into it again: no container is placed there, those that are there go
// when their calls have returned, and then it is released. Levels that are wanted are started elsewhere, where there is
// room.
func (c *Core) DrainNode(now time.Duration, id NodeID, undo bool, fx *Effects) (containers int, err error) {
	l := c.ledger
	l.mu.Lock()
	var n *node
	for _, m := range l.nodes {
		if m.id == id && !m.releasing && !m.lost.Load() {
			n = m
		}
	}
	if n == nil {
		l.mu.Unlock()
		return 0, fmt.Errorf("%w: %d", ErrUnknownNode, id)
	}
	n.cordoned = !undo
	n.setDrains(!undo, fx)
	if !undo {
		for _, ct := range sortedByID(n.containers) {
			fx.work = append(fx.work, work{kind: workRetire, f: ct.fn, c: ct, why: Reason{Cause: CauseDrain}})
		}
	}
	containers = len(n.containers)
	l.provide(now, c, fx)
	l.trim(now, c, fx)
	l.mu.Unlock()
	c.settle(now, fx)
	return containers, nil
}
