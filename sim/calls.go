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

	calls, ok, failed  int
	warm, waited, cold int
	waits              []time.Duration // of waited and cold calls; warm ones wait for nothing
	service            time.Duration
	made               int // containers ordered
	idle, starting     time.Duration
}

// call is one call from its arrival to its end.
type call struct {
	f     *function
	id    string
	work  model.Work
	lease dispatcher.Lease
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
	c := &call{f: w.function(a), id: "r" + strconv.FormatUint(w.calls, 10), work: a.Work}
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
		w.end(c, false)
	case ticket.Seq == 0:
		w.run(c, lease)
	}
	w.react()
}

// granted ends a call's wait.
func (w *World) granted(g *dispatcher.Grant) {
	c := g.Waiter.(*call)
	if g.Err != nil {
		w.end(c, false)
		return
	}
	w.run(c, g.Lease)
}

// run runs a call on the container that it was given.
func (w *World) run(c *call, l dispatcher.Lease) {
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
	if b := w.boxes[l.Container]; b == nil || !b.ready || b.going {
		w.fault("lease of container %d, which is not there", l.Container)
	} else {
		b.settle(w.loop.Now())
		b.leases++
	}
	w.nodes.Run(l.Node.ID, l.ContainerID, c.work, func(o model.Outcome) { w.ran(c, o) })
}

// ran returns a call that came to its end.
func (w *World) ran(c *call, o model.Outcome) {
	now := w.loop.Now()
	if b := w.boxes[c.lease.Container]; b != nil {
		b.settle(now)
		b.leases--
	}
	r := dispatcher.Returned{RequestID: c.id, ContainerID: c.lease.ContainerID, Duration: o.Took, MaxMemory: o.MaxMemory,
		Failed: o.Err != nil, OutOfMemory: errors.Is(o.Err, cluster.ErrOutOfMemory)}
	c.f.service += o.Took
	w.end(c, o.Err == nil)
	err := w.core.Return(now, r, &w.fx)
	if err != nil && !errors.Is(o.Err, cluster.ErrNodeLost) { // the core may have heard of a lost node first
		w.fault("return: %w", err)
	}
	w.react()
}

func (w *World) end(c *call, ok bool) {
	w.open--
	if ok {
		c.f.ok++
	} else {
		c.f.failed++
	}
}
