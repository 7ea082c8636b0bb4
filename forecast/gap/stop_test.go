package gap

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func randomParts(r *rand.Rand, n int) []part {
	var ps []part
	at := time.Duration(0)
	for range n {
		p := part{from: at, to: at + seconds(.1+5*r.ExpFloat64()), q: r.Float64()}
		if r.IntN(3) == 0 {
			p.q *= .02
		}
		ps, at = append(ps, p), p.to
	}
	return ps
}

// patternCost is the expected cost of holding exactly the parts whose bit is set, summed over where the gap ends.
// missed is the probability of a need that meets no container.
func patternCost(ps []part, pattern int, ready bool, miss, restart float64) (cost, missed float64) {
	left, paid := 1.0, 0.0 // probability to get so far, and what has been paid by then
	for i, p := range ps {
		on := pattern>>i&1 == 1
		w := (p.to - p.from).Seconds()
		if on && !ready {
			paid += restart
		}
		ready = on
		switch {
		case on:
			cost += left * p.q * (paid + w/2)
			paid += w
		default:
			cost += left * p.q * (paid + miss)
			missed += left * p.q
		}
		left *= 1 - p.q
	}
	return cost + left*paid, missed
}

// decided is the pattern that stop chose.
func decided(ps []part, ready bool) (pattern int) {
	for i, p := range ps {
		if ready = ready && p.keep || !ready && p.restart; ready {
			pattern |= 1 << i
		}
	}
	return pattern
}

func TestStopMatchesAllPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 400 {
		ps := randomParts(r, 1+r.IntN(8))
		miss, restart := 20*r.Float64(), 4*r.Float64()
		ready, cover := true, time.Duration(0)
		if r.IntN(2) == 0 {
			ready, cover = false, ps[r.IntN(len(ps))].from
		}
		best := math.Inf(1)
		for pattern := range 1 << len(ps) {
			early := false
			for i, p := range ps {
				early = early || pattern>>i&1 == 1 && p.from < cover
			}
			if c, _ := patternCost(ps, pattern, ready, miss, restart); !early {
				best = min(best, c)
			}
		}
		stop(ps, miss, restart, cover)
		got, _ := patternCost(ps, decided(ps, ready), ready, miss, restart)
		if math.Abs(got-best) > 1e-9*(1+best) {
			t.Fatalf("stop's pattern %b costs %v, the best of all %v: miss %v, restart %v, cover %v, %+v", decided(ps, ready), got, best, miss, restart, cover, ps)
		}
		value := ps[0].missed
		if ready && ps[0].keep {
			value = ps[0].held
		}
		if !ready && ps[0].restart {
			value = ps[0].held + restart
		}
		if math.Abs(value-best) > 1e-9*(1+best) {
			t.Fatalf("stop reckons with %v, the best pattern costs %v", value, best)
		}
	}
}

func TestDearerMissesAreMissedLess(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 300 {
		ps := randomParts(r, 12)
		restart, last := 3*r.Float64(), math.Inf(1)
		for miss := .1; miss < 100; miss *= 1.3 {
			stop(ps, miss, restart, 0)
			_, missed := patternCost(ps, decided(ps, true), true, miss, restart)
			if missed > last+1e-12 {
				t.Fatalf("at %v per miss %v are missed, at a lower price %v", miss, missed, last)
			}
			last = missed
		}
	}
}

func TestUnknownLevelIsKeptAliveForKappaAndAStart(t *testing.T) {
	for _, kappa := range []time.Duration{4 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute} {
		for _, start := range []time.Duration{500 * time.Millisecond, 800 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second} {
			var s Schedule
			new(Law).Solve(Price{Kappa: kappa, Start: start, Lead: 2 * start}, Options{}, &s)
			if len(s.Steps) != 2 || !s.Steps[0].Held || s.Steps[1].At != kappa+start {
				t.Errorf("kappa %v, start %v: steps %+v, want to hold for exactly %v", kappa, start, s.Steps, kappa+start)
			}
		}
	}
}

func TestOddPrices(t *testing.T) {
	laws := []*Law{{}, observed(repeat(6*time.Second, 10)...), lawOf(randomPast(rand.New(rand.NewPCG(1, 3)), 50, .2), Options{})}
	for _, p := range []Price{
		{},
		{Kappa: -time.Second, Start: -time.Second, Lead: -time.Second, Cascade: -1},
		{Kappa: math.MaxInt64, Start: math.MaxInt64, Lead: math.MaxInt64, Cascade: math.Inf(1)},
		{Kappa: math.MaxInt64, Cascade: 1},
		{Kappa: time.Second, Cascade: math.NaN()},
		{Kappa: time.Nanosecond, Start: time.Nanosecond},
		{Start: time.Second, Lead: 10 * time.Millisecond},
		{Kappa: time.Minute, Start: time.Second, Lead: time.Hour},
	} {
		for _, l := range laws {
			var s Schedule
			l.Solve(p, Options{}, &s)
			checkSchedule(t, &s)
			l.SolveUp(p, Options{}, &s)
			checkSchedule(t, &s)
		}
	}
}
