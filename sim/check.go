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

// auditAgain compares the books now, and each Options.Audit from now on, for as long as the run lasts.
func (w *World) auditAgain() {
	if w.stopping {
		return
	}
	now := w.loop.Now()
	if err := w.core.Check(); err != nil {
		w.fault("the core contradicts itself: %w", err)
	}
	w.core.Functions(now, func(i *dispatcher.FunctionInfo) bool {
		for _, err := range w.compareCalls(i) {
			w.fault("%w", err)
		}
		return true
	})
	if c := w.core.Cluster(now); c.NodeTime != w.held.total(now) {
		w.fault("the core counts %v of node-time, the world %v", c.NodeTime, w.held.total(now))
	}
	w.audits++
	w.loop.After(w.opts.Audit, w.auditAgain)
}

// rows collects what two books disagree about.
type rows struct {
	function string
	errs     []error
}

func (r *rows) row(what string, core, world any) {
	if core != world {
		r.errs = append(r.errs, fmt.Errorf("%s: the core counts %v %s, the world %v", r.function, core, what, world))
	}
}

// compareCalls holds the core's books on one function's calls and starts against the world's, at any time.
func (w *World) compareCalls(i *dispatcher.FunctionInfo) []error {
	f := w.functions[fnKey{i.Function.Account, i.Function.Name}]
	r := rows{function: f.name}
	c := &i.Count
	r.row("calls", c.Warm+c.Waited+c.Cold+c.TimedOut+c.Refused+c.Cancelled+uint64(i.Waiting), uint64(f.calls))
	r.row("warm", c.Warm, uint64(f.warm))
	r.row("waited", c.Waited, uint64(f.waited))
	r.row("cold", c.Cold, uint64(f.cold))
	r.row("timed out", c.TimedOut, uint64(f.timedOut))
	r.row("refused", c.Refused, uint64(f.refused))
	r.row("cancelled", c.Cancelled, uint64(f.cancelled))
	r.row("returned", c.Returned, uint64(f.returned))
	r.row("starts", c.Started+c.StartFailed+uint64(i.Starting), uint64(f.made))
	r.row("stopped", c.Stopped, uint64(f.stopped))
	return r.errs
}

// compare does so when the run has ended.
func (w *World) compare(i *dispatcher.FunctionInfo) []error {
	f := w.functions[fnKey{i.Function.Account, i.Function.Name}]
	r := rows{f.name, w.compareCalls(i)}
	c := &i.Count
	r.row("calls that end", c.Warm+c.Waited+c.Cold+c.TimedOut+c.Refused+c.Cancelled, uint64(f.ok+f.failed))
	r.row("leases", c.Warm+c.Waited+c.Cold, uint64(f.returned+f.orphaned+f.silent))
	if least := f.silent - f.silentLost; c.Expired < uint64(least) || c.Expired > uint64(f.silent) {
		r.row("expired", c.Expired, fmt.Sprintf("%d to %d", least, f.silent))
	}
	if w.core.Cluster(w.loop.Now()).Lost == 0 { // else the core hears of a start that goes down with its node before its order's result
		r.row("starting", c.Starting, f.starting)
		r.row("started", c.Started, uint64(f.made-f.unmade))
	}
	r.row("started that are not stopped or lost", c.Started-c.Stopped, uint64(f.lost))
	r.row("waiting, leased or existing", i.Waiting+i.Leased+i.Ready+i.Starting+i.Stopping, 0)
	r.row("idle", c.Idle, f.idle)
	return r.errs
}
