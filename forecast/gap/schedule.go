package gap

import (
	"math"
	"time"
)

// Never is later than any time.
const Never = time.Duration(math.MaxInt64)

// Schedule says, from the moment a level fell idle, when a container is wanted for it. Steps begin at idle time 0,
// rise strictly, alternate between held and not held, and end with not held by the law's last edge (4 h). The zero
// value wants nothing.
type Schedule struct {
	Steps []Step
}

// Step is a decision, in force from idle time At until the next step's.
type Step struct {
	At   time.Duration
	Use  time.Duration // idle time of the next use that is reckoned with: see Prob
	Held bool
	// Prob is the probability, given that the level is still idle at At, of a use in the span held from here, at
	// Use on average; when not held, in the next span that is held, or if there is none, in the likeliest bin.
	Prob float32
	// Hold and Drop are the expected costs from At on, in container-seconds, of having a container and of not
	// having one, each with the best decisions later.
	Hold, Drop float32
}

// step returns the index of the step in force at idle time idle; -1 if there is none.
func (s *Schedule) step(idle time.Duration) int {
	i := len(s.Steps) - 1
	for i > 0 && s.Steps[i].At > idle {
		i--
	}
	return i
}

// Wanted reports whether a container is wanted after the level has been idle for idle.
func (s *Schedule) Wanted(idle time.Duration) bool {
	i := s.step(idle)
	return i >= 0 && s.Steps[i].Held
}

// Next is the first idle time after idle at which Wanted changes; false if it never does.
func (s *Schedule) Next(idle time.Duration) (time.Duration, bool) {
	if i := s.step(idle) + 1; i > 0 && i < len(s.Steps) {
		return s.Steps[i].At, true
	}
	return Never, false
}

// ExpectedUse is the idle time of the next likely use after idle and its probability as seen at the last decision;
// zeros if none is likely. For people.
func (s *Schedule) ExpectedUse(idle time.Duration) (use time.Duration, prob float64) {
	i := s.step(idle)
	if i < 0 {
		return 0, 0
	}
	for _, st := range s.Steps[i:] {
		if st.Use > idle {
			return st.Use, float64(st.Prob)
		}
	}
	return 0, 0
}

// follow turns decided parts into steps. held tells whether a container is there at the start.
func (s *Schedule) follow(parts []part, held bool, price Price) {
	s.Steps = s.Steps[:0]
	t := teller{s: s, lead: price.lead(), restart: price.restart().Seconds()}
	left := 1.0 // probability of no use yet
	for i := range parts {
		p := &parts[i]
		want := p.keep
		if !held {
			want = p.restart
		}
		switch {
		case want && !held:
			t.restarts(p, left)
		case i == 0 || want != held:
			t.push(Step{At: p.from, Held: want, Hold: float32(p.held), Drop: float32(p.missed)}, left)
		}
		t.add(left*p.q, (p.from+p.to)/2)
		left *= 1 - p.q
		held = want
	}
	if held && len(parts) > 0 {
		t.push(Step{At: parts[len(parts)-1].to}, left)
	}
	t.settle()
}

// teller writes the steps of a schedule, and into each what it expects.
type teller struct {
	s             *Schedule
	lead          time.Duration
	restart       float64       // price of a restart, container-seconds
	begun, before float64       // probability of no use up to the current step, and to the one before
	mass, moment  float64       // of uses in the current step: probability, probability times idle time (s)
	most          float64       // the largest probability of a use in one part of the current step
	mode          time.Duration // that part's middle
}

// add notes a part with that probability of a use, around at.
func (t *teller) add(mass float64, at time.Duration) {
	t.mass += mass
	t.moment += mass * at.Seconds()
	if mass > t.most {
		t.most, t.mode = mass, at
	}
}

// restarts begins a held step that has a container ready at part p. Where the lead reaches back to the drop before
// it, there is no drop.
func (t *teller) restarts(p *part, left float64) {
	st := Step{At: max(p.from-t.lead, 0), Held: true, Hold: float32(p.held + t.restart), Drop: float32(p.missed)}
	n := len(t.s.Steps)
	switch {
	case n == 0 && st.At > 0:
		t.push(Step{Hold: st.Hold, Drop: st.Drop}, 1) // the first part is held, but a start takes until then
		t.push(st, left)
	case n == 0 || st.At > t.s.Steps[n-1].At:
		t.push(st, left)
	case n == 1:
		t.s.Steps = t.s.Steps[:0]
		t.push(st, left)
	default: // only rounding leads here, as stop holds what it would restart at once: the span before goes on
		t.s.Steps = t.s.Steps[:n-1]
		span := t.s.Steps[n-2]
		t.begun = t.before
		t.mass += float64(span.Prob) * t.begun
		t.moment += float64(span.Prob) * t.begun * span.Use.Seconds()
	}
}

func (t *teller) push(st Step, left float64) {
	t.settle()
	t.s.Steps = append(t.s.Steps, st)
	t.before, t.begun = t.begun, left
	t.mass, t.moment, t.most, t.mode = 0, 0, 0, 0
}

// settle writes what the current step turned out to expect, and for a held step also into the one before it.
func (t *teller) settle() {
	n := len(t.s.Steps)
	if n == 0 {
		return
	}
	st := &t.s.Steps[n-1]
	if !st.Held {
		st.Use, st.Prob = t.mode, share(t.most, t.begun)
		return
	}
	st.Prob = share(t.mass, t.begun)
	if t.mass > 0 {
		st.Use = seconds(t.moment / t.mass)
	}
	if n > 1 {
		t.s.Steps[n-2].Use, t.s.Steps[n-2].Prob = st.Use, share(t.mass, t.before)
	}
}

func share(part, whole float64) float32 {
	if whole <= 0 {
		return 0
	}
	return float32(min(part/whole, 1))
}
