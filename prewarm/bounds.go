package prewarm

import (
	"errors"
	"fmt"
	"time"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast/gap"
)

// Bounds are what people say about a function. The zero value says nothing. Min == Max pins it.
type Bounds struct {
	Min      int               // levels covered by containers at least
	Max      int               // at most, whatever is forecast; 0: no ceiling. Calls that wait are another matter, see SetBounds
	Calendar []calendar.Window // hold while they are open
	Paused   bool              // nothing is wanted at all, Min and Calendar notwithstanding
}

// SetBounds replaces what holds for a function, known or not yet: it takes effect in the next round, and for a
// function that was never called as soon as Declare tells that it exists.
//
// The floor is the larger of Min and the calendar's; containers are started a lead before a window opens. While
// windows with a max are open, theirs holds in place of Max. Of a floor above the ceiling, which only windows that
// overlap can bring about, the floor holds. A ceiling, and a pause, bound what is held ahead of calls: how many
// containers calls that have come may get is the dispatcher's to bound.
func (p *Planner) SetBounds(account, name string, b Bounds) error {
	l, err := newLimits(b)
	if err == nil && !l.cal.Empty() && p.opts.Epoch.IsZero() {
		err = errors.New("a calendar needs Options.Epoch, the wall time at which the run began")
	}
	if err != nil {
		return fmt.Errorf("prewarm: bounds of function %q of account %q: %w", name, account, err)
	}
	k := key{account, name}
	if b.Min == 0 && b.Max == 0 && len(b.Calendar) == 0 && !b.Paused {
		l = nil
		delete(p.limits, k)
	} else {
		p.limits[k] = l
	}
	if pl := p.known[k]; pl != nil {
		pl.limits = l
		if pl.declared {
			p.queue(pl)
		}
	}
	return nil
}

// Epoch is the wall time of the start of the run.
func (p *Planner) Epoch() time.Time { return p.opts.Epoch }

// SetEpoch corrects the wall time of the start of the run, after the machine's clock was set: calendars go by it from
// the next round on.
func (p *Planner) SetEpoch(epoch time.Time) {
	p.opts.Epoch = epoch.Round(0)
	for k, l := range p.limits {
		l.until = 0
		if pl := p.known[k]; pl != nil && pl.declared && !l.cal.Empty() {
			p.queue(pl)
		}
	}
}

// limits are Bounds in force. A nil *limits has none.
type limits struct {
	Bounds
	cal *calendar.Calendar

	floor, ceiling int           // now; a ceiling of 0 is none
	until          time.Duration // until when they hold: gap.Never, or when to look at the calendar again
	lead           time.Duration // for which they were worked out
}

func newLimits(b Bounds) (*limits, error) {
	switch {
	case b.Min < 0 || b.Max < 0:
		return nil, fmt.Errorf("min %d and max %d must not be negative", b.Min, b.Max)
	case b.Max > 0 && b.Min > b.Max:
		return nil, fmt.Errorf("min %d is above max %d; raise max or lower min", b.Min, b.Max)
	}
	for i, w := range b.Calendar {
		switch {
		case w.Max > 0 && w.Max < b.Min:
			return nil, fmt.Errorf("window %d (%q): max %d is below the function's min %d; raise it or lower min", i+1, w.Cron, w.Max, b.Min)
		case w.Max == 0 && b.Max > 0 && w.Min > b.Max:
			return nil, fmt.Errorf("window %d (%q): min %d is above the function's max %d; give the window a max of its own", i+1, w.Cron, w.Min, b.Max)
		}
	}
	cal, err := calendar.New(b.Calendar...)
	return &limits{Bounds: b, cal: cal, floor: b.Min, ceiling: b.Max}, err
}

// look brings floor and ceiling up to now.
func (l *limits) look(now, lead time.Duration, epoch time.Time) {
	if l.cal.Empty() {
		l.until = gap.Never
		return
	}
	if now < l.until && lead == l.lead {
		return
	}
	t := epoch.Add(now)
	_, ceiling, bounded := l.cal.At(t)
	if !bounded {
		ceiling = l.Max
	}
	l.floor = max(l.Min, l.cal.FloorWithin(t, t.Add(lead)))
	if ceiling > 0 {
		ceiling = max(ceiling, l.floor)
	}
	l.ceiling, l.lead, l.until = ceiling, lead, gap.Never
	for _, e := range [...]time.Time{l.cal.NextEdge(t), l.cal.NextOpening(t.Add(lead)).Add(-lead)} {
		if in := e.Sub(t); in > 0 { // a calendar that has no more edges answers with the zero time
			l.until = min(l.until, now+in)
		}
	}
}

// apply turns the levels that were wanted into those that may be, and says in why what made the difference.
func (l *limits) apply(want int, v *verdict) int {
	switch {
	case l == nil:
	case l.Paused:
		v.why.Clip = dispatcher.ClipMax
		return 0
	case want < l.floor:
		v.why.Cause = dispatcher.CauseMinimum
		v.worth = max(v.worth, floorWorth)
		return l.floor
	case l.ceiling > 0 && want > l.ceiling:
		v.why.Clip = dispatcher.ClipMax
		return l.ceiling
	}
	return want
}

// floorWorth ranks a floor above every forecast where memory is short.
const floorWorth = 1e6

// clips says whether so many levels are more than may be.
func (l *limits) clips(want int) bool {
	return l != nil && (l.Paused || l.ceiling > 0 && want >= l.ceiling)
}
