package gap

import "time"

// Want is how many levels a function wants a container for.
type Want struct {
	Busy int           // occupancy
	Idle int           // idle levels that want one, too
	Next time.Duration // when Idle may change by time alone, later than now; Never if it does not
	Why  Why           // of the level that decided
}

// Why tells in numbers what decided: the highest idle level that wants a container, or if none does, the lowest
// idle one. Level is -1 when no level was ever idle.
type Why struct {
	Level  int
	Held   bool          // it wants a container
	Up     bool          // by the time since the level below was taken, not by its idle time
	Gaps   int           // gaps that its law has seen; 0: the law is the prior
	Idle   time.Duration // how long it has been idle; with Up: how long ago the level below was taken
	Expect time.Duration // from now to the expected use; 0: it is overdue, or nothing is known
	Until  time.Duration // from now to when the decision changes; Never if it does not
	Prob   float64       // probability of the expected use, as seen when the step began
	Hold   float64       // expected cost of having a container, container-seconds, as seen when the step began
	Drop   float64       // expected cost of not having one
}

// Wanted says how many idle levels want a container at now, at price p (whose Cascade is ignored: every level
// follows its own). Schedules are solved anew where 5 % new gaps came or the price moved by 5 %.
func (f *Levels) Wanted(now time.Duration, p Price) Want {
	now = max(now, f.now)
	f.price = p
	w := Want{Busy: f.busy, Next: Never, Why: Why{Level: -1, Until: Never}}
	var top, low asked
	for k := f.busy; k < len(f.levels); k++ {
		if k > f.busy && now-f.levels[k-1].since >= lastEdge {
			break // this level, and all above, have been idle or risen for longer than any schedule runs
		}
		a := f.ask(k, now, p)
		w.Next = min(w.Next, a.next)
		if a.held {
			w.Idle++
			top = a
		}
		if k == f.busy {
			low = a
		}
	}
	if top.plan == nil {
		top = low
	}
	if top.plan != nil {
		w.Why = top.why(now)
	}
	return w
}

// asked is one level's answer.
type asked struct {
	held, up bool
	level    int
	gaps     int
	next     time.Duration // when it may change, absolute
	idle     time.Duration // on the clock that decided
	plan     *Schedule     // of that clock
}

// ask looks at both clocks of idle level k.
func (f *Levels) ask(k int, now time.Duration, p Price) asked {
	a := asked{level: k, idle: now - f.levels[k].since, next: Never}
	g := &f.groups[groupOf(k)]
	p.Cascade = 1
	if g.idle == nil {
		a.plan = f.none.schedule(p, f.opts)
	} else {
		p.Cascade = f.levels[firstOf(groupOf(k))].cascade.Calls()
		a.plan, a.gaps = g.idle.schedule(p, false, f.opts), g.idle.law.Gaps()
	}
	a.held = a.plan.Wanted(a.idle)
	if t, ok := a.plan.Next(a.idle); ok {
		a.next = now - a.idle + t
	}
	if k > 0 && g.up != nil && f.levels[k-1].open {
		f.askUp(&a, g.up, now-f.levels[k-1].taken, now, p)
	}
	return a
}

// askUp adds the verdict of the up clock, which stands at rise.
func (f *Levels) askUp(a *asked, c *clock, rise, now time.Duration, p Price) {
	plan := c.schedule(p, true, f.opts)
	if t, ok := plan.Next(rise); ok {
		a.next = min(a.next, now-rise+t)
	}
	if !a.held && plan.Wanted(rise) {
		a.held, a.up = true, true
		a.plan, a.gaps, a.idle = plan, c.law.Gaps(), rise
	}
}

func (a *asked) why(now time.Duration) Why {
	w := Why{Level: a.level, Held: a.held, Up: a.up, Gaps: a.gaps, Idle: a.idle, Until: Never}
	if a.next != Never {
		w.Until = a.next - now
	}
	if use, prob := a.plan.ExpectedUse(a.idle); use > 0 && a.gaps > 0 {
		w.Expect, w.Prob = use-a.idle, prob
	}
	if i := a.plan.step(a.idle); i >= 0 {
		w.Hold, w.Drop = float64(a.plan.Steps[i].Hold), float64(a.plan.Steps[i].Drop)
	}
	return w
}
