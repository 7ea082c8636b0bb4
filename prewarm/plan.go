package prewarm

import (
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast"
)

type key struct{ account, name string }

// plan is what the planner knows of one function.
type plan struct {
	fn       dispatcher.FnID
	declared bool // fn is its number; else it is known by a history only
	called   bool // it has been, in this run
	restored bool // from a saved state
	taught   bool // by a history
	key      key
	policy   policy // that forecasts; nil under the reactive policy
	keep     reactive
	books    ledger
	limits   *limits // nil: none
	tenant   *tenant // nil: kappa is not learnt
	memory   int64   // bytes of a container for one call
	foreign  []byte  // saved laws that the present policy has no use for

	rate    *forecast.PGMix // for people, and for other systems' replicas
	arrived int             // since rate was fed
	fed     time.Duration

	price   price
	busy    int
	last    time.Duration   // of the events replayed
	leaving []time.Duration // guessed virtual departures of calls that wait, soonest first
	guessed int             // calls with a guess that have not left yet
	seq     uint64

	want      int // as last said
	verdict   verdict
	ahead     verdict       // of the forecasts, in force or not
	decidedAt time.Duration // when verdict was given
	dueAt     time.Duration
	dueIn     int  // place in the heap of due instants; 0: none
	queued    bool // in pending
	said      bool
	saidSeq   uint64
}

// replay follows virtual occupancy, in which every call is served at once. When a call that waits will have been
// served, had it not waited, is known only when it is gone; until then it counts for a mean service time.
func (pl *plan) replay(e dispatcher.Event, watched bool) {
	pl.pass(e.At, watched)
	switch {
	case e.Kind == dispatcher.Arrived:
		pl.arrive(e.At, watched)
	case e.Kind == dispatcher.Queued:
		pl.arrive(e.At, watched)
		if s := pl.price.service; s > 0 {
			pl.guessed++
			pl.leaving = append(pl.leaving, e.At+s)
		}
	case e.Wait > 0 && pl.guessed > 0:
		pl.guessed-- // it has gone, or goes when its guess is up
	default:
		pl.depart(max(e.At-e.Wait, pl.last), watched)
	}
}

func (pl *plan) arrive(at time.Duration, watched bool) {
	pl.keep.pass(at, &pl.price, &pl.books.keep)
	pl.books.need(at, pl.busy, &pl.price, watched)
	pl.keep.arrive()
	pl.busy++
	pl.arrived++
	pl.last = max(pl.last, at)
	if pl.policy != nil {
		pl.policy.arrive(at)
	}
}

func (pl *plan) depart(at time.Duration, watched bool) {
	pl.keep.pass(at, &pl.price, &pl.books.keep)
	pl.books.left(at, pl.busy, watched)
	pl.keep.depart(at)
	pl.busy = max(0, pl.busy-1)
	pl.last = max(pl.last, at)
	if pl.policy != nil {
		pl.policy.depart(at)
	}
}

// pass lets those go whose guessed service is over by now.
func (pl *plan) pass(now time.Duration, watched bool) {
	n := 0
	for n < len(pl.leaving) && pl.leaving[n] <= now {
		pl.depart(max(pl.leaving[n], pl.last), watched)
		n++
	}
	if n > 0 {
		pl.leaving = append(pl.leaving[:0], pl.leaving[n:]...)
	}
}

// resync brings the occupancy back to the truth after events were lost.
func (pl *plan) resync(now time.Duration, busy int) {
	pl.leaving, pl.guessed = pl.leaving[:0], 0
	pl.keep.pass(now, &pl.price, &pl.books.keep)
	pl.books.resync(now, pl.busy, busy)
	pl.keep.resync(now, busy)
	if pl.policy != nil {
		pl.policy.resync(now, busy)
	}
	pl.arrived += max(0, busy-pl.busy)
	pl.busy = busy
}

// judge asks the rule in force, and in every mode but off the forecasts, and keeps the account of both.
func (pl *plan) judge(now time.Duration, mode Mode, mayFall bool) verdict {
	b := &pl.books
	pl.keep.pass(now, &pl.price, &b.keep)
	b.keep.pass(now, pl.busy)
	b.live.pass(now, pl.busy)
	v := pl.keep.want(now, &pl.price)
	if pl.policy != nil && mode != Off {
		pl.ahead = pl.policy.want(now, &pl.price)
		b.ahead.want(now, pl.busy, pl.ahead.busy+pl.ahead.idle, &pl.price)
		b.gate.settle(&b.live.Book, &b.ahead.Book, &b.keep.Book, pl.price.miss())
		if mode == On && !(b.gate.fallen && mayFall) {
			v = pl.ahead
		} else {
			v.next = min(v.next, pl.ahead.next)
		}
	}
	b.live.want(now, pl.busy, v.busy+v.idle, &pl.price)
	if len(pl.leaving) > 0 {
		v.next = min(v.next, pl.leaving[0])
	}
	return v
}

// feed brings the rate model up to now.
func (pl *plan) feed(now time.Duration) {
	if now > pl.fed {
		pl.rate.Observe(pl.arrived, now-pl.fed)
		pl.arrived, pl.fed = 0, now
	}
}
