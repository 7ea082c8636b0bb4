package dispatcher

import "time"

// drop ends idle containers beyond those that cover the levels needed, or marks them as spare. A container that
// is still starting never displaces a warm one: only ready ones count as cover.
//
// With Options.KeepSpare a spare container stays: its node is held anyway, and the next call of its function may
// come. It goes when anyone has a use for its memory (see reclaim), when its node is better emptied,
// and at the end of the keep-alive.
func (f *function) drop(fx *Effects) {
	if f.idle == 0 || f.line.n > 0 {
		return
	}
	silent := f.silent()
	need := max(f.leases.n, f.want)
	if silent {
		need = f.leases.n
	}
	extra := f.covered - need
	for c := f.oldestIdle(); c != nil; {
		next := f.nextIdle(c)
		if c.covers > extra {
			break
		}
		extra -= c.covers
		if !f.dropOne(c, silent, fx) {
			c.spare.Store(!silent && c.idleSeq <= f.seen)
		}
		c = next
	}
}

// dropOne ends an idle container that no level wants, if its time has come.
func (f *function) dropOne(c *container, silent bool, fx *Effects) bool {
	why := Reason{Cause: CauseSurplus, Want: int32(f.want), Idle: f.now - c.idleSince}
	end := c.idleSince + f.keepAlive()
	switch {
	case silent:
		why.Cause = CauseIdle
		if f.now < end {
			f.dueBy(end)
			return false
		}
	case c.idleSeq > f.seen: // the planner has not spoken of it yet, and may fall silent
		f.dueBy(f.now + f.keepAlive())
		return false
	case f.now < end && f.core.opts.KeepSpare && !c.node.drains.Load():
		f.dueBy(end)
		return false
	default:
		why.Model, why.Level, why.Gaps, why.Kappa, why.Expect = f.whyFor.Model, f.whyFor.Level, f.whyFor.Gaps, f.whyFor.Kappa, f.whyFor.Expect
		why.Prob, why.Hold, why.Drop = f.whyFor.Prob, f.whyFor.Hold, f.whyFor.Drop
	}
	f.observe(&why)
	f.stop(c, why, fx)
	return true
}

// silent says whether no planner is there to decide.
func (f *function) silent() bool {
	return f.now-time.Duration(f.core.plannerAt.Load()) > f.core.opts.Silence
}

// oldestIdle is the idle container that goes first: on a node that is being emptied, else the least recently used.
func (f *function) oldestIdle() *container {
	for c := f.last.tail; c != nil; c = c.prev {
		if c.leases == 0 {
			return c
		}
	}
	if len(f.room) > 0 {
		return f.room[0].tail
	}
	return nil
}

// nextIdle is the idle container that goes after c, nil when there is none.
func (f *function) nextIdle(c *container) *container {
	inLast := c.bucket == lastRoom
	for c = c.prev; c != nil; c = c.prev {
		if c.leases == 0 {
			return c
		}
	}
	if inLast && len(f.room) > 0 {
		return f.room[0].tail
	}
	return nil
}
