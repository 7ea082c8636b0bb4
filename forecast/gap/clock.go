package gap

import "time"

const (
	stale     = 0.05 // share of new gaps, or change of price, at which a schedule is solved anew
	remembers = 100  // gaps that a law remembers at the default rho: more than these never make news rarer
)

// clock is a law with the schedule that was last solved from it.
type clock struct {
	law    Law
	plan   Schedule
	solved int32 // gaps that plan knows of; meaningless while plan is empty
	price  Price // that plan was solved for
}

// schedule returns the schedule, solved anew if it is out of date. up tells which kind of law this is.
func (c *clock) schedule(p Price, up bool, o Options) *Schedule {
	if len(c.plan.Steps) > 0 && !c.outdated(p) {
		return &c.plan
	}
	if up {
		c.law.SolveUp(p, o, &c.plan)
	} else {
		c.law.Solve(p, o, &c.plan)
	}
	c.solved, c.price = int32(c.law.seen), p
	return &c.plan
}

func (c *clock) outdated(p Price) bool {
	news := float64(int32(c.law.seen) - c.solved)
	return news > 0 && news >= stale*float64(min(c.law.seen, remembers)) || !c.price.near(p, stale)
}

// keepAlive is the schedule of a level that nothing is known of.
type keepAlive struct {
	plan  Schedule
	price Price
}

func (k *keepAlive) schedule(p Price, o Options) *Schedule {
	if len(k.plan.Steps) == 0 || k.price != p {
		var unknown Law
		unknown.Solve(p, o, &k.plan)
		k.price = p
	}
	return &k.plan
}

// group is a level, or several high ones that share their laws.
type group struct {
	first time.Duration // the first gap, until a second shows that the level is worth a law
	once  bool          // first is set
	idle  *clock        // since the level fell idle
	up    *clock        // since the level below was taken
}

// observe adds an idle gap. A law is allocated at the second.
func (g *group) observe(gap time.Duration, o Options) {
	switch {
	case g.idle != nil:
		g.idle.law.Observe(gap, o)
	case !g.once:
		g.first, g.once = gap, true
	default:
		g.idle = new(clock)
		g.idle.law.Observe(g.first, o)
		g.idle.law.Observe(gap, o)
		g.first, g.once = 0, false
	}
}

// rise adds a time from when the level below was taken until this one was needed. A law is allocated once the level
// has an idle law and one such time was too long for the level below to have been of no help; that one is not
// counted, so that the law is of all that follows and not of what called for it.
func (g *group) rise(after, start time.Duration, o Options) {
	switch {
	case g.up != nil:
		g.up.law.Observe(after, o)
	case g.idle != nil && after > start:
		g.up = new(clock)
	}
}
