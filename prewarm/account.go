package prewarm

import (
	"math"
	"time"
)

// Account compares, for one function or for all, what was decided with what the keep-alive of --policy reactive would
// have cost for the same calls.
//
// All three books follow the same virtual occupancy (CORE.md 4), each call served from its arrival for as long as it
// took. So the comparison assumes that calls come when they came whatever is held; that a start takes the function's
// median; that a container holds one call; and that memory and nodes are there. Floors, ceilings and pauses are left
// out of all books: they are the operator's, not the forecasts'. The keep-alive is reckoned to the nanosecond, the
// live decisions with the rounds that they wait for. Waits are counted and have no price of their own: kappa is what a
// cold start is worth, its wait included.
type Account struct {
	Live     Book // by what was decided, by whichever rule was in force
	Forecast Book // by the forecasts alone, in force or not; counts while the mode is not off
	Reactive Book // by the keep-alive
}

// Saved is the share of the keep-alive's cost that was not spent: negative if forecasts cost more.
func (a *Account) Saved() float64 {
	if a.Reactive.Cost == 0 {
		return 0
	}
	return 1 - a.Live.Cost/a.Reactive.Cost
}

// gate takes a function's forecasts out of force while they lose.
//
// It is a bucket of regret: what the live decisions cost above the keep-alive drains it, a tenth of the keep-alive's
// cost fills it, and it holds no more than what a few misses cost. Empty, the keep-alive takes over. So the live cost
// stays below 1.1 times the keep-alive's plus one bucket and whatever a single decision can cost, for any calls
// whatever. The forecasts come back when the bucket is half full again, which takes the price of ten misses at least,
// and when over about the last twenty misses' worth of calls they would have cost less than the keep-alive.
type gate struct {
	fallen bool
	bucket float64 // container-seconds left
	begun  bool    // the bucket has had its first filling

	live, ahead, keep float64 // the books' costs when the bucket was last looked at
	lately            float64 // that forecasts cost above the keep-alive; fades
}

const (
	regretShare  = 0.1 // of the keep-alive's cost that forecasts may lose
	regretMisses = 4   // that a full bucket pays for
	recallMisses = 20  // of keep-alive cost over which lately fades to 1/e
)

// settle brings the gate up to date with the books, at a price of a miss in seconds.
func (g *gate) settle(live, ahead, keep *Book, miss float64) {
	full := regretMisses * miss
	if !g.begun {
		g.bucket, g.begun = full, true
	}
	dLive, dAhead, dKeep := live.Cost-g.live, ahead.Cost-g.ahead, keep.Cost-g.keep
	g.live, g.ahead, g.keep = live.Cost, ahead.Cost, keep.Cost
	g.bucket = min(full, g.bucket+(1+regretShare)*dKeep-dLive)
	if miss > 0 && dKeep > 0 {
		g.lately *= math.Exp(-dKeep / (recallMisses * miss))
	}
	g.lately += dAhead - dKeep
	switch {
	case !g.fallen && g.bucket < 0:
		g.fallen = true
	case g.fallen && g.bucket >= full/2 && g.lately < 0:
		g.fallen = false
	}
}

// ledger holds what a function's account is kept in.
type ledger struct {
	live, ahead, keep book
	gate              gate
}

// need tells all books of a call.
func (l *ledger) need(at time.Duration, busy int, p *price, watched bool) {
	l.live.need(at, busy, p)
	l.keep.need(at, busy, p)
	if watched {
		l.ahead.need(at, busy, p)
	}
}

// left tells them that one of busy calls has ended.
func (l *ledger) left(at time.Duration, busy int, watched bool) {
	l.live.pass(at, busy)
	l.keep.pass(at, busy)
	if watched {
		l.ahead.pass(at, busy)
	}
}

func (l *ledger) resync(now time.Duration, was, busy int) {
	l.live.resync(now, was, busy)
	l.keep.resync(now, was, busy)
	l.ahead.resync(now, was, busy)
}

// add sums accounts, b's costs at a price per container-second.
func (a *Account) add(b *Account, unit float64) {
	a.Live.add(&b.Live, unit)
	a.Forecast.add(&b.Forecast, unit)
	a.Reactive.add(&b.Reactive, unit)
}

func (b *Book) add(o *Book, unit float64) {
	b.Idle += o.Idle
	b.Ahead += o.Ahead
	b.Starts += o.Starts
	b.Met += o.Met
	b.Missed += o.Missed
	b.Wait += o.Wait
	b.Cost += o.Cost * unit
}
