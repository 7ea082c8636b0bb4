package calendar

import (
	"errors"
	"fmt"
	"time"
)

// Calendar is a set of windows of one function. The zero value, and nil, have none. It never changes and may be used
// by many at once.
type Calendar struct{ windows []window }

// New reads windows. The error names every window that cannot be read, by its number from 1 on and its expression,
// what is wrong, and what would be right.
func New(windows ...Window) (*Calendar, error) {
	c := &Calendar{windows: make([]window, len(windows))}
	var wrong []error
	for i, w := range windows {
		var err error
		if c.windows[i], err = read(w); err != nil {
			wrong = append(wrong, fmt.Errorf("calendar: window %d (%q): %w", i+1, w.Cron, err))
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return c, nil
}

// Empty reports whether c has no windows.
func (c *Calendar) Empty() bool { return c == nil || len(c.windows) == 0 }

// At says what holds at t: the largest min of the windows that are open, and the largest max of those that give one;
// bounded is false if none does. A floor lifts a ceiling that is below it: where a window asks for five containers and
// another one that is open allows three, five are right.
func (c *Calendar) At(t time.Time) (floor, ceiling int, bounded bool) {
	if c.Empty() {
		return 0, 0, false
	}
	for i := range c.windows {
		w := &c.windows[i]
		if w.openWithin(t, t) {
			floor, ceiling, bounded = max(floor, w.Min), max(ceiling, w.Max), bounded || w.Max > 0
		}
	}
	if bounded {
		ceiling = max(ceiling, floor)
	}
	return floor, ceiling, bounded
}

// FloorWithin is the largest min that holds at any time from `from` to `to`.
func (c *Calendar) FloorWithin(from, to time.Time) (floor int) {
	if c.Empty() {
		return 0
	}
	for i := range c.windows {
		if w := &c.windows[i]; w.Min > floor && w.openWithin(from, to) {
			floor = w.Min
		}
	}
	return floor
}

// NextEdge is the first time after t at which a window opens or an opening has lasted its duration; zero if there is
// none. Windows that overlap may hide it: At need not change.
func (c *Calendar) NextEdge(t time.Time) (e time.Time) {
	if c.Empty() {
		return e
	}
	for i := range c.windows {
		e = sooner(e, c.windows[i].edge(t))
	}
	return e
}

// NextOpening is the first time after t at which a window opens; zero if there is none.
func (c *Calendar) NextOpening(t time.Time) (s time.Time) {
	if c.Empty() {
		return s
	}
	for i := range c.windows {
		s = sooner(s, c.windows[i].opening(t))
	}
	return s
}

// hiddenEdges is how many edges that change nothing NextChange looks past. A window that opens every minute for an
// hour has one every minute, for ever.
const hiddenEdges = 64

// NextChange is the first time after t at which At answers differently; zero if it never does. Where more than 64
// edges in a row change nothing, it is the last of these instead: there is no change before it.
func (c *Calendar) NextChange(t time.Time) time.Time {
	floor, ceiling, bounded := c.At(t)
	for range hiddenEdges {
		if t = c.NextEdge(t); t.IsZero() {
			break
		}
		if f, m, b := c.At(t); f != floor || m != ceiling || b != bounded {
			break
		}
	}
	return t
}

// Occurrence is one opening of a window.
type Occurrence struct {
	Window   int // which, from 0 on
	From, To time.Time
	Min, Max int // as the window says
}

// Next lists the first n openings after t, the earliest first. There are fewer if windows stop opening.
func (c *Calendar) Next(t time.Time, n int) []Occurrence {
	if c.Empty() || n <= 0 {
		return nil
	}
	next := make([]time.Time, len(c.windows))
	for i := range c.windows {
		next[i] = c.windows[i].opening(t)
	}
	out := make([]Occurrence, 0, n)
	for len(out) < n {
		first := -1
		for i, s := range next {
			if !s.IsZero() && (first < 0 || s.Before(next[first])) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		w := &c.windows[first]
		out = append(out, Occurrence{Window: first, From: next[first], To: next[first].Add(w.Duration).In(w.zone), Min: w.Min, Max: w.Max})
		next[first] = w.opening(next[first])
	}
	for i := range out {
		out[i].From = out[i].From.In(c.windows[out[i].Window].zone)
	}
	return out
}
