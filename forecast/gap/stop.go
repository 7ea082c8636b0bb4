package gap

import "time"

// part is a stretch of idle time within which a decision does not change.
type part struct {
	from, to time.Duration
	q        float64 // probability of a need in it, given none before
	// Expected container-seconds from here on, with the best decisions later, when a container is ready at the
	// start of the part and held through it, and when none is held through it. Costs past the last part, which
	// are the same for both, are left out.
	held, missed float64
	keep         bool // a container that is ready is held through the part
	restart      bool // one that was dropped is restarted so as to be ready when the part begins
}

// stop fills in the decisions: backward induction over the states "held" and "not held" (optimal stopping, with a
// way back). miss and restart are prices in seconds. Parts that begin before cover cannot be held.
//
// The need is uniform over a part, so holding costs width*(1-q/2); having nothing costs miss*q; dropping is free
// and restarting costs restart.
func stop(parts []part, miss, restart float64, cover time.Duration) {
	ready, none := 0.0, 0.0 // best cost from the end of the part on, with and without a container
	for i := len(parts) - 1; i >= 0; i-- {
		p := &parts[i]
		p.held = (p.to-p.from).Seconds()*(1-p.q/2) + (1-p.q)*ready
		p.missed = miss*p.q + (1-p.q)*none
		may := p.from >= cover
		p.keep = may && p.held <= p.missed
		p.restart = may && restart+p.held < p.missed
		ready, none = p.missed, p.missed
		if p.keep {
			ready = p.held
		}
		if p.restart {
			none = restart + p.held
		}
	}
}

// clockKind is what a law's idle time counts from.
type clockKind struct {
	prior bool          // whether needs are expected of an unknown law
	cover time.Duration // time from which a container can be there
}

// Solve replaces dst by the schedule that costs least in expectation: idle container-seconds, plus p.Start (or
// p.Lead, if longer) per restart, plus (Kappa+Start)*Cascade per need that meets no container.
//
// The probability that a gap which reached a bin ends in it is (C+b*q0)/(N+b): C of N gaps did so, and the prior's
// q0 counts as b gaps, Options.PriorWeight where nothing is known and less where gaps are regular. The hits lie
// inside the bin's atom if it has one, else spread over the bin; the prior's part lies where its survival says.
// With no gap observed, the schedule is to hold for (Kappa+Start)*Cascade and then to drop.
//
// Nothing is allocated once dst has had room for a schedule of that size.
func (l *Law) Solve(p Price, o Options, dst *Schedule) {
	l.solve(p, clockKind{prior: true}, o, dst)
}

// SolveUp is Solve for a law of the times from when the level below is taken until this one is needed. An unknown
// such law expects no need, and its first container is ready p.Start after the clock begins.
func (l *Law) SolveUp(p Price, o Options, dst *Schedule) {
	l.solve(p, clockKind{cover: max(p.Start, 0)}, o, dst)
}

func (l *Law) solve(p Price, k clockKind, o Options, dst *Schedule) {
	var room [maxParts]part
	miss := p.miss()
	parts := l.parts(room[:0], miss, k, o)
	stop(parts, miss.Seconds(), p.restart().Seconds(), k.cover)
	dst.follow(parts, k.cover == 0, p)
}
