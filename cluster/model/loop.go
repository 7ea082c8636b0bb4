package model

import "time"

// Loop runs events in the order of their time, those of the same time in the order in which they were entered.
// The zero value is at time 0 with no events.
type Loop struct {
	now    time.Duration
	seq    uint64
	events []event // binary heap, earliest first
	ran    uint64
}

type event struct {
	at  time.Duration
	seq uint64
	run func()
}

// Now is the time of the event that runs, or of the last that ran.
func (l *Loop) Now() time.Duration { return l.now }

// Ran is the number of events run so far: the cost of a simulation.
func (l *Loop) Ran() uint64 { return l.ran }

// Waiting is the number of events that are entered and have not run.
func (l *Loop) Waiting() int { return len(l.events) }

// At enters an event. A time in the past means now.
func (l *Loop) At(t time.Duration, run func()) {
	l.seq++
	l.events = append(l.events, event{max(t, l.now), l.seq, run})
	l.up(len(l.events) - 1)
}

// After enters an event so much later than now.
func (l *Loop) After(d time.Duration, run func()) { l.At(l.now+d, run) }

// Step jumps to the next event and runs it; false means that nothing is left.
func (l *Loop) Step() bool {
	if len(l.events) == 0 {
		return false
	}
	e := l.pop()
	l.now = e.at
	l.ran++
	e.run()
	return true
}

// RunUntil runs what is due by t, and leaves the time at t.
func (l *Loop) RunUntil(t time.Duration) {
	for len(l.events) > 0 && l.events[0].at <= t {
		l.Step()
	}
	l.now = max(l.now, t)
}

func (l *Loop) before(i, j int) bool {
	a, b := &l.events[i], &l.events[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

// pop and up are container/heap's, without boxing an event each time.
func (l *Loop) pop() event {
	e, last := l.events[0], len(l.events)-1
	l.events[0] = l.events[last]
	l.events[last] = event{}
	l.events = l.events[:last]
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			return e
		}
		if right := least + 1; right < last && l.before(right, least) {
			least = right
		}
		if !l.before(least, i) {
			return e
		}
		l.events[i], l.events[least] = l.events[least], l.events[i]
		i = least
	}
}

func (l *Loop) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !l.before(i, parent) {
			return
		}
		l.events[i], l.events[parent] = l.events[parent], l.events[i]
		i = parent
	}
}
