package gap

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// checkSchedule holds a schedule to what its documentation promises.
func checkSchedule(t *testing.T, s *Schedule) {
	t.Helper()
	for i, st := range s.Steps {
		if i == 0 && st.At != 0 || i > 0 && (st.At <= s.Steps[i-1].At || st.Held == s.Steps[i-1].Held) || st.At > lastEdge {
			t.Fatalf("step %d is out of order: %+v", i, s.Steps)
		}
		for _, x := range []float32{st.Prob, st.Hold, st.Drop} {
			if !(x >= 0 && x < math.MaxFloat32) {
				t.Fatalf("step %d has %v in it: %+v", i, x, s.Steps)
			}
		}
		if st.Prob > 1 || st.Use < 0 || st.Use > lastEdge {
			t.Fatalf("step %d expects a use at %v with probability %v", i, st.Use, st.Prob)
		}
	}
	if n := len(s.Steps); n == 0 || s.Steps[n-1].Held {
		t.Fatalf("held for ever or no steps: %+v", s.Steps)
	}
}

func randomPrice(r *rand.Rand) Price {
	p := Price{Kappa: seconds(math.Exp(6 * r.Float64())), Start: seconds(.1 + 4*r.Float64())}
	p.Lead = seconds(p.Start.Seconds() * (.5 + 2*r.Float64()))
	if r.IntN(2) == 0 {
		p.Cascade = 1 + 5*r.Float64()
	}
	return p
}

// randomLaw mixes irregular gaps, timers and gaps past everything.
func randomLaw(r *rand.Rand) *Law {
	ps := randomPast(r, r.IntN(80), .1)
	for range r.IntN(3) {
		period := math.Exp(r.Float64()*10 - 2)
		for range r.IntN(30) {
			ps = append(ps, past{gap: seconds(period * (1 + .02*r.NormFloat64()))})
		}
	}
	r.Shuffle(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
	return lawOf(ps, Options{})
}

func TestSchedulesKeepTheirPromises(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for range 3000 {
		l, p := randomLaw(r), randomPrice(r)
		var s Schedule
		l.Solve(p, Options{}, &s)
		checkSchedule(t, &s)
		l.SolveUp(p, Options{}, &s)
		checkSchedule(t, &s)
		for _, st := range s.Steps {
			if st.Held && st.At < p.Start-p.lead() {
				t.Fatalf("the up clock asks for a start at %v, that is to say before the clock began", st.At)
			}
		}
	}
}

func TestPartsFitTheirRoom(t *testing.T) {
	var timers Law // an atom in every bin that is wide enough, most of them near an edge
	for i := range 40 * bins {
		timers.Observe(edges[1+i%(bins-1)]+time.Duration(i%3-1)*time.Millisecond, Options{})
	}
	r := rand.New(rand.NewPCG(41, 42))
	for i := range 3000 {
		l := &timers
		if i > 100 {
			l = randomLaw(r)
		}
		p := randomPrice(r)
		for _, k := range []clockKind{{prior: true}, {cover: p.Start}} {
			if n := len(l.parts(nil, p.miss(), k, Options{})); n > maxParts {
				t.Fatalf("%d parts, room for %d", n, maxParts)
			}
		}
	}
}

// TestScheduleFollowsItsParts compares steps with the parts that they were made of, looked at one by one.
func TestScheduleFollowsItsParts(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for range 2000 {
		l, p := randomLaw(r), randomPrice(r)
		var s Schedule
		l.Solve(p, Options{}, &s)
		miss := p.miss()
		ps := l.parts(nil, miss, clockKind{prior: true}, Options{})
		stop(ps, miss.Seconds(), p.restart().Seconds(), 0)
		left, prob := 1.0, make([]float64, len(s.Steps))
		held := true
		for i, q := range ps {
			held = held && q.keep || !held && q.restart
			next := Never // start of the next held span, when this part is not held
			for j, h := i, held; !h && j < len(ps); j++ {
				if h = ps[j].restart; h {
					next = ps[j].from
				}
			}
			if mid := (q.from + q.to) / 2; s.Wanted(mid) != (held || next != Never && mid >= next-p.lead()) {
				t.Fatalf("part %v..%v held %v, the schedule says otherwise: %+v", q.from, q.to, held, s.Steps)
			}
			if held {
				prob[s.step((q.from+q.to)/2)] += left * q.q
			}
			left *= 1 - q.q
		}
		// The first step is seen from idle time 0: its probability needs no dividing.
		if s.Steps[0].Held && math.Abs(prob[0]-float64(s.Steps[0].Prob)) > 1e-4 {
			t.Fatalf("first span is used with probability %v, want %v", s.Steps[0].Prob, prob[0])
		}
		if !s.Steps[0].Held && len(s.Steps) > 1 && math.Abs(prob[1]-float64(s.Steps[0].Prob)) > 1e-4 {
			t.Fatalf("first restart is used with probability %v, want %v", s.Steps[0].Prob, prob[1])
		}
	}
}

func TestWantedAndNextAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	for range 500 {
		var s Schedule
		randomLaw(r).Solve(randomPrice(r), Options{}, &s)
		idle := time.Duration(0)
		for {
			next, ok := s.Next(idle)
			if !ok {
				if s.Wanted(idle) || next != Never {
					t.Fatalf("Next(%v) = %v, false, wanted %v", idle, next, s.Wanted(idle))
				}
				break
			}
			if next <= idle || s.Wanted(next-1) != s.Wanted(idle) || s.Wanted(next) == s.Wanted(idle) {
				t.Fatalf("Next(%v) = %v does not change what is wanted: %+v", idle, next, s.Steps)
			}
			idle = next
		}
	}
	var none Schedule
	if _, ok := none.Next(0); ok || none.Wanted(0) {
		t.Error("the zero schedule wants something")
	}
}

// TestHoldTimeGrowsWithKappa is for laws without atoms. Cuts move with the price, so that a bin of grace is left.
func TestHoldTimeGrowsWithKappa(t *testing.T) {
	held := func(s *Schedule) (sum time.Duration) {
		for i, st := range s.Steps {
			if st.Held {
				sum += s.Steps[i+1].At - st.At
			}
		}
		return sum
	}
	r := rand.New(rand.NewPCG(21, 22))
	laws := 0
	for laws < 300 {
		l := lawOf(randomPast(r, r.IntN(80), 0), Options{})
		regular := false
		for i := range bins {
			regular = regular || l.atom(i).gain > 0
		}
		if regular {
			continue
		}
		laws++
		var s Schedule
		last := time.Duration(0)
		for kappa := time.Second; kappa < time.Hour; kappa = kappa * 13 / 10 {
			l.Solve(Price{Kappa: kappa, Start: time.Second}, Options{}, &s)
			now := held(&s)
			if float64(now) < float64(last)/1.506 {
				t.Fatalf("held for %v at kappa %v, for %v at a lower one", now, kappa, last)
			}
			last = max(last, now)
		}
	}
}

func TestExpectedUse(t *testing.T) {
	var s Schedule
	observed(repeat(6*time.Second, 20)...).Solve(Price{Kappa: 4 * time.Second, Start: 800 * time.Millisecond}, Options{}, &s)
	for _, tt := range []struct {
		idle, use time.Duration
		prob      float64
	}{
		{0, 6 * time.Second, 1},
		{5500 * time.Millisecond, 6 * time.Second, 1},
	} {
		use, prob := s.ExpectedUse(tt.idle)
		if (use-tt.use).Abs() > 20*time.Millisecond || math.Abs(prob-tt.prob) > .02 {
			t.Errorf("ExpectedUse(%v) = %v, %v, want about %v, %v", tt.idle, use, prob, tt.use, tt.prob)
		}
	}
	if use, _ := s.ExpectedUse(time.Hour); use != 0 {
		t.Errorf("an hour into a 6 s gap, the next use is expected at %v, want none", use)
	}
}

func TestSolveAllocatesNothing(t *testing.T) {
	l := randomLaw(rand.New(rand.NewPCG(23, 24)))
	var s Schedule
	p := Price{Kappa: time.Minute, Start: time.Second}
	l.Solve(p, Options{}, &s)
	if n := testing.AllocsPerRun(100, func() {
		l.Observe(time.Second, Options{})
		l.Outlive(time.Second, Options{})
		l.Solve(p, Options{}, &s)
	}); n != 0 {
		t.Errorf("Observe, Outlive and Solve: %v allocs, want 0", n)
	}
}
