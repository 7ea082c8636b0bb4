package metrics

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// top finds the functions with the most calls, and sums up the rest, in one pass that keeps only as many of them as
// it may list.
//
// The rest's counters must not jump when functions change places, or every rate over them would show it: a function
// that leaves the rest takes its counts with it in the books only, and one that joins it brings along what it counts
// from then on. (So, once functions have changed places, the sum over all series tells rates truly but is not the
// total since the start.) To change places rarely, a listed function gives way only to one with a tenth more calls.
type top struct {
	limit  int
	list   rowHeap // the function to give way first is at its head
	rest   row
	others int // functions in the rest

	listed map[dispatcher.FnID]dispatcher.Counters // of the last scrape
	before dispatcher.FnID                         // functions from this one on are newer than the last scrape
	after  dispatcher.FnID                         // the same, of this one
	owed   dispatcher.Counters                     // what the rest counts beyond the sum of those in it; wraps around
	shown  bool                                    // the rest has been told once, and is from then on
}

// row is what is told of one function, or of the rest.
type row struct {
	info      dispatcher.FunctionInfo
	forecast  prewarm.Forecast
	forecasts int     // that were added up in forecast; 0: nothing is known
	kappa     float64 // seconds, summed over those
	fallbacks int     // functions among those that the keep-alive decides for
	weight    uint64
}

// restName stands for the rest in place of a function's name, with an empty account.
const restName = "other"

func newTop(limit int) *top {
	return &top{limit: limit, listed: map[dispatcher.FnID]dispatcher.Counters{}}
}

// begin forgets what was added, but for what must go on from scrape to scrape.
func (t *top) begin() {
	t.list, t.others, t.before = t.list[:0], 0, t.after
	t.rest = row{}
	t.rest.info.Function.Name = restName
}

// add takes in one function. Its memory is the caller's.
func (t *top) add(i *dispatcher.FunctionInfo, f *prewarm.Forecast, known bool) {
	t.after = max(t.after, i.Fn+1)
	w := t.weight(i)
	r := row{info: *i, forecast: *f, forecasts: b2i(known), kappa: f.Kappa.Seconds(), fallbacks: b2i(f.Fallback), weight: w}
	switch {
	case !tellable(i.Function.Account, i.Function.Name):
		t.toRest(&r)
	case len(t.list) < t.limit:
		own := r // r itself must not escape: there may be 100,000 of it
		heap.Push(&t.list, &own)
	case t.list[0].yields(w, i.Fn):
		t.toRest(t.list[0])
		*t.list[0] = r
		heap.Fix(&t.list, 0)
	default:
		t.toRest(&r)
	}
}

func (t *top) weight(i *dispatcher.FunctionInfo) uint64 {
	calls := i.Count.Warm + i.Count.Waited + i.Count.Cold
	if _, ok := t.listed[i.Fn]; ok {
		return 11 * calls
	}
	return 10 * calls
}

// tellable says whether a function may have series of its own. A label that is no UTF-8, or labels that are those
// of the rest, would spoil the whole scrape.
func tellable(account, name string) bool {
	return utf8.ValidString(account) && utf8.ValidString(name) && !(name == restName && account == "")
}

func (t *top) toRest(r *row) {
	i, sum := &r.info, &t.rest.info
	sum.Ready += i.Ready
	sum.Idle += i.Idle
	sum.Starting += i.Starting
	sum.Stopping += i.Stopping
	sum.Waiting += i.Waiting
	sum.Leased += i.Leased
	addCounters(&sum.Count, &i.Count, 1)
	t.rest.forecast.Rate += r.forecast.Rate
	t.rest.forecast.Busy += r.forecast.Busy
	t.rest.forecast.Want += r.forecast.Want
	t.rest.forecast.Ahead += r.forecast.Ahead
	t.rest.forecasts += r.forecasts
	t.rest.kappa += r.kappa
	t.rest.fallbacks += r.fallbacks
	t.others++
}

// end settles what the rest owes for functions that changed places since the last scrape.
func (t *top) end() {
	now := make(map[dispatcher.FnID]dispatcher.Counters, len(t.list))
	for _, r := range t.list {
		i := &r.info
		now[i.Fn] = i.Count
		if _, ok := t.listed[i.Fn]; !ok && i.Fn < t.before { // it was in the rest
			addCounters(&t.owed, &i.Count, 1)
		}
	}
	for fn, count := range t.listed {
		if _, ok := now[fn]; !ok { // it is in the rest now
			addCounters(&t.owed, &count, -1)
		}
	}
	t.listed = now
	addCounters(&t.rest.info.Count, &t.owed, 1)
	t.shown = t.shown || t.others > 0
}

// rows lists the functions in the order of their numbers, then the rest if there ever was any.
func (t *top) rows() []*row {
	rs := make([]*row, 0, len(t.list)+1)
	rs = append(rs, t.list...)
	slices.SortFunc(rs, func(a, b *row) int { return cmp.Compare(a.info.Fn, b.info.Fn) })
	if t.shown {
		rs = append(rs, &t.rest)
	}
	return rs
}

// yields says whether r gives way to function fn of weight w.
func (r *row) yields(w uint64, fn dispatcher.FnID) bool {
	if r.weight != w {
		return r.weight < w
	}
	return r.info.Fn > fn
}

type rowHeap []*row

func (h rowHeap) Len() int           { return len(h) }
func (h rowHeap) Less(i, j int) bool { return h[i].yields(h[j].weight, h[j].info.Fn) }
func (h rowHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *rowHeap) Push(x any)        { *h = append(*h, x.(*row)) }
func (h *rowHeap) Pop() any          { panic("metrics: nothing is popped") } // the heap is only replaced at its head

// addCounters adds sign times from to to.
func addCounters(to, from *dispatcher.Counters, sign int) {
	n := func(to *uint64, from uint64) { *to += from * uint64(sign) } // -1 wraps around, and so back
	n(&to.Warm, from.Warm)
	n(&to.Waited, from.Waited)
	n(&to.Cold, from.Cold)
	n(&to.Refused, from.Refused)
	n(&to.TimedOut, from.TimedOut)
	n(&to.Cancelled, from.Cancelled)
	n(&to.Returned, from.Returned)
	n(&to.Failed, from.Failed)
	n(&to.Expired, from.Expired)
	n(&to.Started, from.Started)
	n(&to.StartFailed, from.StartFailed)
	n(&to.Stopped, from.Stopped)
	n(&to.EventsLost, from.EventsLost)
	for i := range to.Waits {
		n(&to.Waits[i], from.Waits[i])
	}
	s := func(to *time.Duration, from time.Duration) { *to += from * time.Duration(sign) }
	s(&to.WaitSum, from.WaitSum)
	s(&to.ServiceSum, from.ServiceSum)
	s(&to.Idle, from.Idle)
	s(&to.Starting, from.Starting)
	s(&to.Stopping, from.Stopping)
	s(&to.ReadyIn, from.ReadyIn)
}
