package prewarm

import (
	"container/heap"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// world is the least of a dispatcher that a planner can run: containers that hold one call, starts that always last as
// long, memory without end. It counts for itself what things cost, and so is the twin that accounts are held against.
type world struct {
	t       testing.TB
	planner *Planner
	kappa   time.Duration // at which misses are counted
	start   time.Duration
	now     time.Duration
	events  worldHeap
	fns     []*worldFn
	planAt  time.Duration
	out     Decisions
	onLevel func(f *worldFn, want int) // may be nil

	idle                  time.Duration
	starts, missed, calls int
}

type worldFn struct {
	dispatcher.FunctionNews
	id            int
	want          int
	boxes         []*worldBox
	waiting       []worldCall
	took          time.Duration // service of the calls that left
	left          int
	missed, calls int
}

type worldBox struct {
	ready, busy, gone bool
}

type worldCall struct{ at, service time.Duration }

type worldEvent struct {
	at  time.Duration
	seq int
	do  func()
}

func newWorld(t testing.TB, o Options, start time.Duration) *world {
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, planner: p, kappa: p.opts.Kappa, start: start}
}

func (w *world) function(account, name string) *worldFn {
	s := w.start
	f := &worldFn{id: len(w.fns), FunctionNews: dispatcher.FunctionNews{Fn: dispatcher.FnID(len(w.fns)),
		Function: &cluster.Function{Account: account, Name: name, Memory: cluster.GiB}, Start: dispatcher.Times{N: 9, P10: s, P50: s, P90: s, P99: s}}}
	w.fns = append(w.fns, f)
	return f
}

func (w *world) at(t time.Duration, do func()) {
	heap.Push(&w.events, worldEvent{t, len(w.events) + int(t), do})
}

// run goes on until end.
func (w *world) run(end time.Duration) {
	for {
		t := w.planAt
		if len(w.events) > 0 {
			t = min(t, w.events[0].at)
		}
		if t > end {
			break
		}
		w.pass(t)
		if len(w.events) > 0 && w.events[0].at <= t {
			heap.Pop(&w.events).(worldEvent).do()
			continue
		}
		w.plan()
	}
	w.pass(end)
}

func (w *world) pass(t time.Duration) {
	for _, f := range w.fns {
		for _, b := range f.boxes {
			if b.ready && !b.busy {
				w.idle += t - w.now
			}
		}
	}
	w.now = t
}

func (w *world) plan() {
	var n dispatcher.News
	for _, f := range w.fns {
		if len(f.Events) > 0 {
			f.ServiceMean = f.took / time.Duration(max(f.left, 1))
			n.Functions = append(n.Functions, f.FunctionNews)
			f.Events = nil
		}
	}
	w.planAt = w.planner.Advance(w.now, &n, &w.out)
	for _, l := range w.out.Levels {
		f := w.fns[l.Fn]
		was := f.want
		f.want = l.Want
		w.balance(f, l.Seen == f.Seq)
		if w.onLevel != nil && was != l.Want {
			w.onLevel(f, l.Want)
		}
	}
}

func (w *world) tell(f *worldFn, kind dispatcher.EventKind, wait time.Duration) {
	f.Seq++
	f.Events = append(f.Events, dispatcher.Event{At: w.now, Kind: kind, Wait: wait})
}

// call lets one come now.
func (w *world) call(f *worldFn, service time.Duration) {
	w.calls++
	f.calls++
	f.Busy++
	for _, b := range f.boxes {
		if b.ready && !b.busy {
			w.tell(f, dispatcher.Arrived, 0)
			w.serve(f, b, service, 0)
			return
		}
	}
	w.missed++
	f.missed++
	w.tell(f, dispatcher.Queued, 0)
	f.waiting = append(f.waiting, worldCall{w.now, service})
	w.balance(f, false)
}

func (w *world) serve(f *worldFn, b *worldBox, service, wait time.Duration) {
	b.busy = true
	w.at(w.now+service, func() {
		b.busy = false
		f.Busy--
		f.took += service
		f.left++
		w.tell(f, dispatcher.Left, wait)
		w.next(f, b)
	})
}

// next gives a free container to the first that waits.
func (w *world) next(f *worldFn, b *worldBox) {
	if len(f.waiting) == 0 || b.gone {
		return
	}
	c := f.waiting[0]
	f.waiting = f.waiting[1:]
	w.serve(f, b, c.service, max(1, w.now-c.at))
}

// balance starts what is needed or wanted, and drops what is neither, if it may.
func (w *world) balance(f *worldFn, drop bool) {
	n := max(f.Busy, f.want)
	for len(f.boxes) < n {
		b := &worldBox{}
		f.boxes = append(f.boxes, b)
		w.starts++
		w.at(w.now+w.start, func() {
			b.ready = true
			w.next(f, b)
		})
	}
	for i := len(f.boxes) - 1; drop && i >= 0 && len(f.boxes) > n; i-- {
		if b := f.boxes[i]; !b.busy {
			b.gone = true
			f.boxes = append(f.boxes[:i], f.boxes[i+1:]...)
		}
	}
}

// cost is what was spent, in container-seconds.
func (w *world) cost() float64 {
	return w.idle.Seconds() + float64(w.starts)*w.start.Seconds() + float64(w.missed)*w.kappa.Seconds()
}

type worldHeap []worldEvent

func (h worldHeap) Len() int { return len(h) }
func (h worldHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h worldHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *worldHeap) Push(x any)   { *h = append(*h, x.(worldEvent)) }
func (h *worldHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
