package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// Check says what went wrong in a run that has ended, or nil: every call ended once, nothing exists any more,
// nothing impossible was ordered, and the core's books say what the world saw.
func (w *World) Check() error {
	errs := w.faults
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if w.open != 0 {
		fail("%d calls have not ended", w.open)
	}
	if w.orders != 0 {
		fail("%d orders have no result", w.orders)
	}
	if nodes, containers := w.nodes.Held(); nodes != 0 || containers != 0 {
		fail("%d nodes and %d containers are left in the cluster", nodes, containers)
	}
	if !w.core.Empty() {
		fail("the core holds nodes still: %+v", w.core.Cluster(w.loop.Now()))
	}
	w.core.Functions(w.loop.Now(), func(i *dispatcher.FunctionInfo) bool {
		errs = append(errs, w.compare(i)...)
		return true
	})
	if c := w.core.Cluster(w.loop.Now()); c.NodeTime != w.held.total(w.loop.Now()) {
		fail("the core counts %v of node-time, the world %v", c.NodeTime, w.held.total(w.loop.Now()))
	}
	return errors.Join(errs...)
}

func (b *nodeBook) total(now time.Duration) time.Duration {
	return b.time + (now-b.tallied)*time.Duration(b.now)
}

// compare holds the core's books on one function against the world's.
func (w *World) compare(i *dispatcher.FunctionInfo) (errs []error) {
	f := w.functions[fnKey{i.Function.Account, i.Function.Name}]
	row := func(what string, core, world any) {
		if core != world {
			errs = append(errs, fmt.Errorf("%s: the core counts %v %s, the world %v", f.name, core, what, world))
		}
	}
	c := &i.Count
	row("calls that end", c.Warm+c.Waited+c.Cold+c.TimedOut+c.Refused, uint64(f.ok+f.failed))
	row("warm", c.Warm, uint64(f.warm))
	row("waited", c.Waited, uint64(f.waited))
	row("cold", c.Cold, uint64(f.cold))
	row("starts", c.Started+c.StartFailed, uint64(f.made))
	if w.lost == 0 { // the core hears of a start that goes down with its node before its order's result
		row("starting", c.Starting, f.starting)
	}
	row("waiting, leased or existing", i.Waiting+i.Leased+i.Ready+i.Starting+i.Stopping, 0)
	row("idle", c.Idle, f.idle)
	return errs
}
