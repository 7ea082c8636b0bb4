package sim

import (
	"errors"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/model"
	"github.com/forewarm/forewarm/dispatcher"
)

// box is a container as the world sees it: what the core ordered and what became of it.
type box struct {
	f      *function
	node   dispatcher.NodeID
	start  time.Duration // of its start
	ready  bool
	going  bool // its stop was ordered
	leases int
	silent int           // of them, those that nobody returns: the core ends them by itself
	idle   time.Duration // since when, if ready, without leases and not going
}

// nodeBook counts node-time.
type nodeBook struct {
	now, peak int
	made      int
	refused   int // reservations that came to nothing
	time      time.Duration
	tallied   time.Duration
}

// add changes the number of nodes held.
func (b *nodeBook) add(now time.Duration, n int) {
	b.time += (now - b.tallied) * time.Duration(b.now)
	b.tallied = now
	b.now += n
	b.peak = max(b.peak, b.now)
}

// ordered carries out one order of the core, when its time has come.
func (w *World) ordered(o dispatcher.Order) {
	w.orders++
	run := func() { w.carryOut(o) }
	if o.NotBefore > w.loop.Now() {
		w.loop.At(o.NotBefore, run)
		return
	}
	run()
}

func (w *World) carryOut(o dispatcher.Order) {
	switch o.Kind {
	case dispatcher.ReserveNode:
		w.nodes.Reserve(o.Account, func(n cluster.Node, err error) { w.reserved(o, n, err) })
	case dispatcher.ReleaseNode:
		w.forget(o.NodeID)
		w.nodes.Release(o.Node.ID, func(err error) { w.released(o, err) })
	case dispatcher.StartContainer:
		f := w.functions[fnKey{o.Function.Account, o.Function.Name}]
		f.made++
		b := &box{f: f, node: o.NodeID, start: w.loop.Now()}
		w.boxes[o.Container] = b
		w.nodes.Create(o.Node.ID, o.Spec, f.base, func(id string, err error) { w.started(o, b, id, err) })
	case dispatcher.StopContainer:
		w.stop(o)
	}
}

// forget takes what ran on a node off the books: there is something only when the node was lost.
func (w *World) forget(node dispatcher.NodeID) {
	for id, b := range w.boxes {
		if b.node == node && b.ready {
			b.settle(w.loop.Now())
			b.f.lost++
			b.f.silentLost += b.silent
			delete(w.boxes, id)
		}
	}
}

func (w *World) reserved(o dispatcher.Order, n cluster.Node, err error) {
	now := w.loop.Now()
	w.orders--
	if err != nil {
		w.held.refused++
		w.told("ReserveFailed", w.core.ReserveFailed(now, o.ID, failure(err), &w.fx))
	} else {
		w.held.made++
		w.held.add(now, 1)
		w.told("NodeReady", w.core.NodeReady(now, o.ID, n, &w.fx))
	}
	w.react()
}

func (w *World) released(o dispatcher.Order, err error) {
	now := w.loop.Now()
	w.orders--
	if errors.Is(err, model.ErrAway) {
		w.told("ReleaseFailed", w.core.ReleaseFailed(now, o.ID, failure(err), &w.fx))
		w.react()
		return
	}
	if err != nil {
		w.fault("release of %s: %w", o.Node.ID, err)
	}
	w.held.add(now, -1)
	w.told("Released", w.core.Released(now, o.ID, &w.fx))
	w.react()
}

func (w *World) started(o dispatcher.Order, b *box, id string, err error) {
	now := w.loop.Now()
	w.orders--
	b.f.starting += now - b.start
	if err != nil {
		delete(w.boxes, o.Container)
		b.f.unmade++
		if errors.Is(err, cluster.ErrOutOfMemory) {
			w.fault("the core sold memory that is not there: %w", err)
		}
		w.told("StartFailed", w.core.StartFailed(now, o.ID, failure(err), &w.fx))
	} else {
		b.ready, b.idle = true, now
		w.told("Started", w.core.Started(now, o.ID, id, &w.fx))
	}
	w.react()
}

func (w *World) stop(o dispatcher.Order) {
	b := w.boxes[o.Container]
	switch {
	case b == nil:
		w.fault("stop of container %d, which there is not", o.Container)
	case b.leases > b.silent:
		w.fault("stop of container %d under %d calls", o.Container, b.leases-b.silent)
	case !b.going:
		b.settle(w.loop.Now())
		b.going = true
	}
	w.nodes.Remove(o.Node.ID, o.ContainerID, func(err error) {
		w.orders--
		if err == nil {
			if w.boxes[o.Container] != nil { // else its node was lost meanwhile
				b.f.stopped++
			}
			delete(w.boxes, o.Container)
			w.told("Stopped", w.core.Stopped(w.loop.Now(), o.ID, &w.fx))
		} else {
			w.told("StopFailed", w.core.StopFailed(w.loop.Now(), o.ID, failure(err), &w.fx))
		}
		w.react()
	})
}

// settle adds up idle time before something changes about the container.
func (b *box) settle(now time.Duration) {
	if b.ready && !b.going && b.leases == 0 {
		b.f.idle += now - b.idle
	}
	b.idle = now
}

// failure says an error in the core's terms, as the live shell does.
func failure(err error) dispatcher.Failure {
	return dispatcher.Failure{
		Err:      err.Error(),
		NoNode:   errors.Is(err, cluster.ErrNoNode),
		NodeLost: errors.Is(err, cluster.ErrNodeLost),
		Memory:   errors.Is(err, cluster.ErrOutOfMemory),
	}
}
