package sim

import (
	"errors"
	"strconv"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/model"
	"github.com/forewarm/forewarm/dispatcher"
)

// function is what the world counts for one function.
type function struct {
	name string
	base int64 // bytes of its process

	calls, ok, failed            int
	warm, waited, cold           int
	refused, timedOut, cancelled int             // calls that got no container
	returned                     int             // leases whose return the core took, unused ones included
	silent                       int             // leases that nobody returns
	silentLost                   int             // those among them whose node was lost, though they may have expired before
	orphaned                     int             // leases of which the core knew no more when they were returned: their node was lost
	waits                        []time.Duration // of waited and cold calls; warm ones wait for nothing
	service                      time.Duration
	made, unmade                 int // containers ordered, and those among them that did not start
	stopped, lost                int // containers
	idle, starting               time.Duration
}

// call is one call from its arrival to its end.
type call struct {
	f     *function
	id    string
	work  model.Work
	lease dispatcher.Lease

	waits  bool // in line
	gone   bool // its caller is
	silent bool
}

func (w *World) function(a *Arrival) *function {
	key := fnKey{a.Function.Account, a.Function.Name}
	f := w.functions[key]
	if f == nil {
		f = &function{name: a.Function.Name}
		w.functions[key] = f
		w.order = append(w.order, f)
	}
	f.base = a.Base
	return f
}

func (w *World) arrive(a *Arrival) {
	now := w.loop.Now()
	w.calls++
	c := &call{f: w.function(a), id: "r" + strconv.FormatUint(w.calls, 10), work: a.Work, silent: a.Silent}
	if c.work.Timeout == 0 {
		c.work.Timeout = a.Function.Timeout
	}
	c.f.calls++
	w.open++
	r := dispatcher.Request{ID: c.id, Function: a.Function, Concurrency: a.Concurrency, Waiter: c}
	if a.Patience > 0 {
		r.Deadline = now + a.Patience
	}
	lease, ticket, err := w.core.Acquire(now, r, &w.fx)
	switch {
	case err != nil:
		c.f.refused++
		w.end(c, false)
	case ticket.Seq == 0:
		w.run(c, lease)
	default:
		c.waits = true
		if a.Leave > 0 {
			vanish := a.Vanish
			w.loop.After(a.Leave, func() { w.leave(c, ticket, vanish) })
		}
	}
	w.react()
}

// leave lets the caller of a call that still waits go away.
func (w *World) leave(c *call, t dispatcher.Ticket, vanish bool) {
	switch {
	case !c.waits:
	case vanish:
		c.gone = true
	case !w.core.Cancel(w.loop.Now(), t, &w.fx):
		w.fault("a call of %s waits and cannot be cancelled", c.f.name)
	default:
		c.waits = false
		c.f.cancelled++
		w.end(c, false)
		w.react()
	}
}

// granted ends a call's wait.
func (w *World) granted(g *dispatcher.Grant) {
	c := g.Waiter.(*call)
	c.waits = false
	switch {
	case errors.Is(g.Err, dispatcher.ErrDeadline):
		c.f.timedOut++
		w.end(c, false)
	case g.Err != nil:
		c.f.refused++
		w.end(c, false)
	case c.gone:
		w.unused(c, g.Lease)
	default:
		w.run(c, g.Lease)
	}
}

// unused returns what was granted to a caller that had gone, as soon as the core can be called again.
func (w *World) unused(c *call, l dispatcher.Lease) {
	w.lease(c, l)
	w.loop.After(0, func() {
		w.giveBack(c, dispatcher.Returned{RequestID: c.id, ContainerID: l.ContainerID, Unused: true}, false)
		w.end(c, false)
		w.react()
	})
}

// run runs a call on the container that it was given.
func (w *World) run(c *call, l dispatcher.Lease) {
	b := w.lease(c, l)
	if b != nil && c.silent {
		c.f.silent++
		b.silent++
	}
	w.nodes.Run(l.Node.ID, l.ContainerID, c.work, func(o model.Outcome) { w.ran(c, o) })
}

// lease enters a lease into the books, and finds its container; nil is a fault.
func (w *World) lease(c *call, l dispatcher.Lease) *box {
	c.lease = l
	switch l.Served {
	case dispatcher.Warm:
		c.f.warm++
	case dispatcher.Waited:
		c.f.waited++
	case dispatcher.Cold:
		c.f.cold++
	}
	if l.Served != dispatcher.Warm {
		c.f.waits = append(c.f.waits, l.Wait)
	}
	b := w.boxes[l.Container]
	if b == nil || !b.ready || b.going {
		w.fault("lease of container %d, which is not there", l.Container)
		return nil
	}
	b.settle(w.loop.Now())
	b.leases++
	return b
}

// ran returns a call that came to its end.
func (w *World) ran(c *call, o model.Outcome) {
	c.f.service += o.Took
	if c.silent { // the work was done, and nobody hears of it
		w.end(c, false)
		return
	}
	w.end(c, o.Err == nil)
	w.giveBack(c, dispatcher.Returned{RequestID: c.id, ContainerID: c.lease.ContainerID, Duration: o.Took, MaxMemory: o.MaxMemory,
		Failed: o.Err != nil, OutOfMemory: errors.Is(o.Err, cluster.ErrOutOfMemory)}, errors.Is(o.Err, cluster.ErrNodeLost))
	w.react()
}

// giveBack ends a lease. The core may have heard first that its node was lost.
func (w *World) giveBack(c *call, r dispatcher.Returned, lost bool) {
	now := w.loop.Now()
	if b := w.boxes[c.lease.Container]; b != nil {
		b.settle(now)
		b.leases--
	}
	switch err := w.core.Return(now, r, &w.fx); {
	case err == nil:
		c.f.returned++
	case lost:
		c.f.orphaned++
	default:
		w.fault("return: %w", err)
	}
}

func (w *World) end(c *call, ok bool) {
	w.open--
	if ok {
		c.f.ok++
	} else {
		c.f.failed++
	}
}
