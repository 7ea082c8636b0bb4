package gap

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestMeanAndDeviationMatchDirectOnes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		j := 8 + r.IntN(15)
		w, lo := width(j), edges[j].Seconds()
		at, sigma := lo+w*(.2+.6*r.Float64()), w*.1*r.Float64()
		var l Law
		var all []float64
		for range 1 + r.IntN(9) { // up to nine hits all count alike
			x := min(max(at+sigma*r.NormFloat64(), lo), lo+w*.999)
			all = append(all, x)
			l.Observe(seconds(x), Options{})
		}
		mean, v := 0.0, 0.0
		for _, x := range all {
			mean += x / float64(len(all))
		}
		for _, x := range all {
			v += (x - mean) * (x - mean) / float64(len(all))
		}
		n, m, got := l.inside(j)
		if n != len(all) || math.Abs(m-mean) > 1e-4*w || math.Abs(math.Sqrt(got)-math.Sqrt(v)) > 1e-4*w {
			t.Fatalf("bin %d: n, mean, sd of %v = %d, %v, %v, want %v, %v", j, all, n, m, math.Sqrt(got), mean, math.Sqrt(v))
		}
	}
}

func TestMeanFollowsADrift(t *testing.T) {
	var l Law
	for range 1000 {
		l.Observe(6500*time.Millisecond, Options{})
	}
	for range 50 {
		l.Observe(7000*time.Millisecond, Options{})
	}
	if _, m, _ := l.inside(binOf(7 * time.Second)); math.Abs(m-7) > .01 {
		t.Errorf("mean is %v s fifty gaps after the period became 7 s", m)
	}
}

func ms(xs ...int) (gaps []time.Duration) {
	for _, x := range xs {
		gaps = append(gaps, time.Duration(x)*time.Millisecond)
	}
	return gaps
}

func observed(gaps ...time.Duration) *Law {
	var l Law
	for _, g := range gaps {
		l.Observe(g, Options{})
	}
	return &l
}

func repeat(g time.Duration, n int) (gaps []time.Duration) {
	for range n {
		gaps = append(gaps, g)
	}
	return gaps
}

func TestAtomWindow(t *testing.T) {
	for _, tt := range []struct {
		name     string
		gaps     []time.Duration
		bin      time.Duration // a time in the bin that is looked at
		lo, hi   float64       // s; zero: no atom
		tolerate float64
	}{
		{"one gap is no atom", ms(5500), 5500 * time.Millisecond, 0, 0, 0},
		{"two alike are one, 0.3 s to each side", ms(5500, 5520), 5500 * time.Millisecond, 5.18, 5.84, .02},
		{"the window narrows with more", repeat(5500*time.Millisecond, 40), 5500 * time.Millisecond, 5.36, 5.64, .01},
		{"two that differ are not", ms(4200, 5500), 5 * time.Second, 0, 0, 0},
		{"no atom in a bin of 20 ms to each side", ms(150, 150, 150, 150), 150 * time.Millisecond, 0, 0, 0},
		{"two that straddle an edge are one", ms(6000, 6020), 6 * time.Second, 5.68, 6.34, .02},
		{"and the same one seen from above the edge", ms(6000, 6020), 6100 * time.Millisecond, 5.68, 6.34, .02},
		{"a minute needs no wider window", repeat(time.Minute, 40), time.Minute, 59.85, 60.15, .02},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := observed(tt.gaps...).atom(binOf(tt.bin))
			if (a.gain > 0) != (tt.hi > 0) || math.Abs(a.lo-tt.lo) > tt.tolerate || math.Abs(a.hi-tt.hi) > tt.tolerate {
				t.Errorf("window of %v is %.2f..%.2f s, want %.2f..%.2f", tt.gaps, a.lo, a.hi, tt.lo, tt.hi)
			}
		})
	}
}

func TestPriorGivesWayToRegularity(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	var irregular, both []time.Duration
	for range 60 {
		x := seconds(10 * r.ExpFloat64())
		irregular = append(irregular, x)
		both = append(both, min(x, 20*time.Second), time.Minute)
	}
	for _, tt := range []struct {
		name      string
		gaps      []time.Duration
		at        time.Duration
		low, high float64 // share of the prior's weight that is left for the bin at
	}{
		{"nothing seen", nil, time.Second, 1, 1},
		{"one gap", ms(6200), time.Second, 1, 1},
		{"two alike", ms(6600, 6620), time.Second, .1, .4},
		{"three alike", ms(6600, 6620, 6590), time.Second, .01, .1},
		{"a timer of old", repeat(6600*time.Millisecond, 100), time.Second, 0, .001},
		{"two alike in two bins", ms(6000, 6020), time.Second, .1, .5},
		{"gaps without order", irregular, time.Second, 1, 1},
		{"short gaps without order, else a minute: short ones", both, 10 * time.Millisecond, 0, 1},
		{"short gaps without order, else a minute: later", both, 30 * time.Second, 0, .001},
		{"past all that was seen", repeat(6600*time.Millisecond, 100), time.Minute, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := observed(tt.gaps...)
			var atoms [bins]atom
			var w [bins]float64
			for i := range bins {
				atoms[i] = l.atom(i)
			}
			l.priorWeights(&atoms, 1, &w)
			if got := w[binOf(tt.at)]; got < tt.low || got > tt.high {
				t.Errorf("the prior keeps %v of its weight at %v, want %v to %v", got, tt.at, tt.low, tt.high)
			}
		})
	}
}

// TestAtomReachesOverItsEdge: what a window covers must not depend on where the bins' edges lie. All hits lie below
// the edge at 6.008 s, the window goes past it.
func TestAtomReachesOverItsEdge(t *testing.T) {
	l := observed(ms(5950, 5900, 5980)...)
	var s Schedule
	l.Solve(Price{Kappa: 4 * time.Second, Start: 800 * time.Millisecond}, Options{}, &s)
	a := l.atom(binOf(5950 * time.Millisecond))
	if edge := edges[binOf(5950*time.Millisecond)+1].Seconds(); a.hi <= edge {
		t.Fatalf("window ends at %v s, before the edge at %v s", a.hi, edge)
	}
	if last := s.Steps[len(s.Steps)-1]; math.Abs(last.At.Seconds()-a.hi) > 1e-6 {
		t.Errorf("held until %v, the window ends at %v s: %+v", last.At, a.hi, s.Steps)
	}
}

func TestAtomKeepsItsBinsProbability(t *testing.T) {
	l := observed(append(repeat(500*time.Millisecond, 3), repeat(7*time.Second, 5)...)...)
	left, inside := 1.0, 1.0
	i := binOf(7 * time.Second)
	a := l.atom(i)
	for _, p := range l.parts(nil, time.Second, clockKind{}, Options{}) {
		if p.from < edges[i] || p.to > edges[i+1] {
			continue
		}
		left *= 1 - p.q
		if p.from >= seconds(a.lo) && p.to <= seconds(a.hi) {
			inside *= 1 - p.q
		}
	}
	var atoms [bins]atom
	var weights [bins]float64
	atoms[i] = a
	l.priorWeights(&atoms, 2, &weights)
	n, c := float64(l.reached[i]), float64(l.ended[i])
	if want := 1 - c/(n+weights[i]); math.Abs(left-want) > 1e-6 || math.Abs(inside-want) > 1e-6 {
		t.Errorf("probability to outlast bin %d is %v, its window %v, want %v for both", i, left, inside, want)
	}
}
