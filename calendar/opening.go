package calendar

import "time"

// opening is the first time after t at which w opens; zero if there is none within five years.
//
// The expression is asked in wall time, which is written here as if it were UTC, where every day has 24 hours. Between
// two changes of the zone's offset, wall time and real time differ by that offset, so the answer leads straight back.
// (The library's own handling of zones loses openings where clocks change by half an hour.)
func (w *window) opening(t time.Time) time.Time {
	t = t.In(w.zone)
	offset := offsetAt(t)
	at, ok := w.ask(t.UTC().Add(offset), offset)
	for ok {
		_, end := t.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		before := offset
		t, offset = end, offsetAt(end)
		if at, ok = w.ask(end.UTC().Add(min(before, offset)-time.Second), offset); at.Before(end) {
			at = end // its time was jumped over
		}
		if skip := at.Add(-farEnough); skip.After(end) { // no opening before: spare the changes in between
			t = skip.In(w.zone)
			offset = offsetAt(t)
			at, ok = w.ask(t.UTC().Add(offset), offset)
		}
	}
	return time.Time{}
}

// farEnough is more than any two offsets differ by.
const farEnough = 48 * time.Hour

// ask is the first real time after wall time t at which the expression comes true, if offset still holds then.
func (w *window) ask(wall time.Time, offset time.Duration) (time.Time, bool) {
	next := w.cron.Next(wall)
	return next.Add(-offset), !next.IsZero()
}

func offsetAt(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// openWithin says whether w is open at any time from `from` to `to`. An opening at s keeps it open until before
// s+Duration.
func (w *window) openWithin(from, to time.Time) bool {
	s := w.opening(from.Add(-w.Duration))
	return !s.IsZero() && !s.After(to)
}

// edge is the first time after t at which w opens, or at which one of its openings has lasted its duration; zero if
// there is none.
func (w *window) edge(t time.Time) time.Time {
	e := w.opening(t)
	if s := w.opening(t.Add(-w.Duration)); !s.IsZero() {
		e = sooner(e, s.Add(w.Duration))
	}
	return e
}

// sooner is the earlier of two times, of which zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
