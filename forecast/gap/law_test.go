package gap

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// past is a gap as the slow twins keep it.
type past struct {
	gap     time.Duration
	outlive bool
}

// counts are N and C of a bin, summed over all gaps with explicit weights.
func counts(ps []past, i int, rho float64) (reached, ended float64) {
	later := 0 // gaps after this one that reached the bin
	for j := len(ps) - 1; j >= 0; j-- {
		b := binOf(ps[j].gap)
		if b < i || b == i && ps[j].outlive {
			continue
		}
		w := math.Pow(rho, float64(later))
		reached += w
		if b == i {
			ended += w
		}
		later++
	}
	return reached, ended
}

// randomPast draws gaps of several kinds, some outlived.
func randomPast(r *rand.Rand, n int, outlive float64) []past {
	var ps []past
	scale, sigma := math.Exp(r.Float64()*12-3), r.Float64()*2
	for range n {
		ps = append(ps, past{seconds(scale * math.Exp(sigma*r.NormFloat64())), r.Float64() < outlive})
	}
	return ps
}

func lawOf(ps []past, o Options) *Law {
	l := new(Law)
	for _, p := range ps {
		if p.outlive {
			l.Outlive(p.gap, o)
		} else {
			l.Observe(p.gap, o)
		}
	}
	return l
}

func TestLawMatchesTheWholeListOfGaps(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		o := Options{Rho: []float64{0, .9, .99}[r.IntN(3)]}
		ps := randomPast(r, r.IntN(400), []float64{0, .5}[r.IntN(2)])
		l := lawOf(ps, o)
		for i := range bins {
			n, c := counts(ps, i, float64(o.rho()))
			if math.Abs(n-float64(l.reached[i])) > 1e-4*(1+n) || math.Abs(c-float64(l.ended[i])) > 1e-4*(1+c) {
				t.Fatalf("bin %d after %d gaps: N, C = %v, %v, want %v, %v", i, len(ps), l.reached[i], l.ended[i], n, c)
			}
		}
		if l.Gaps() != len(ps) {
			t.Fatalf("Gaps = %d, want %d", l.Gaps(), len(ps))
		}
	}
}

// TestBinProbability checks q = (C + b*q0)/(N + b) on bins that no atom touches: the parts of a bin must multiply
// up to it, wherever the bin is cut.
func TestBinProbability(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	checked := 0
	for range 300 {
		o := Options{PriorWeight: 1 + 3*r.Float64()}
		ps := randomPast(r, 1+r.IntN(60), .2)
		l := lawOf(ps, o)
		var atoms [bins]atom
		var weights [bins]float64
		for i := range bins {
			atoms[i] = l.atom(i)
		}
		l.priorWeights(&atoms, o.priorWeight(), &weights)
		miss := seconds(math.Exp(r.Float64()*6 - 1))
		parts := l.parts(nil, miss, clockKind{prior: true}, o)
		for i := range bins {
			if atoms[i].gain > 0 || i > 0 && atoms[i-1].gain > 0 || i+1 < bins && atoms[i+1].gain > 0 {
				continue
			}
			left, width := 1.0, time.Duration(0)
			for _, p := range parts {
				if p.from >= edges[i] && p.to <= edges[i+1] {
					left *= 1 - p.q
					width += p.to - p.from
				}
			}
			if width == 0 {
				continue // left out, behind the last hit and the price
			}
			n, c := counts(ps, i, .99)
			q0 := 1 - edges[i].Seconds()/edges[i+1].Seconds()
			if i == 0 {
				q0 = 1 - priorFloor/firstEdge.Seconds()
			}
			want := (c + weights[i]*q0) / (n + weights[i])
			if width != edges[i+1]-edges[i] || math.Abs(1-left-want) > 1e-4 {
				t.Fatalf("bin %d: q = %v over %v, want %v", i, 1-left, width, want)
			}
			checked++
		}
	}
	if checked < 1000 {
		t.Errorf("only %d bins checked", checked)
	}
}

func TestLawTakes400Bytes(t *testing.T) {
	if n := unsafe.Sizeof(Law{}); n != 400 {
		t.Errorf("a Law takes %d bytes, want 400", n)
	}
}

func TestLongestAndNegativeGaps(t *testing.T) {
	var l Law
	l.Observe(lastEdge, Options{})
	l.Observe(1000*time.Hour, Options{})
	l.Observe(-time.Second, Options{})
	if l.reached[bins-1] != 1.99 || l.reached[0] != float32(.99)*1.99+1 || l.ended[0] != 1 {
		t.Errorf("after two gaps past 4 h and one below 0: reached %v, ended %v", l.reached, l.ended)
	}
}

func TestTypical(t *testing.T) {
	var l Law
	if l.Typical() != 0 {
		t.Errorf("Typical of no gap = %v, want 0", l.Typical())
	}
	for range 50 {
		l.Observe(6*time.Second, Options{})
	}
	if got := l.Typical(); got < 5990*time.Millisecond || got > 6010*time.Millisecond {
		t.Errorf("Typical of 6 s gaps = %v", got)
	}
}

func TestFadeKeepsShares(t *testing.T) {
	l := lawOf(randomPast(rand.New(rand.NewPCG(1, 1)), 50, 0), Options{})
	old := *l
	l.Fade(.25)
	for i := range bins {
		if l.reached[i] != old.reached[i]/4 || l.ended[i] != old.ended[i]/4 {
			t.Fatalf("bin %d: %v of %v after Fade(.25), before %v of %v", i, l.ended[i], l.reached[i], old.ended[i], old.reached[i])
		}
	}
}

func TestOptionsCheck(t *testing.T) {
	for _, o := range []Options{{Rho: 1}, {Rho: -.1}, {Rho: math.NaN()}, {PriorWeight: -1}, {PriorWeight: math.Inf(1)}, {HalfLife: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) gave no error", o)
		}
	}
}
