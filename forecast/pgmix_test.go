package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func newPGMix(t testing.TB, opts PGMixOptions) *PGMix {
	t.Helper()
	m, err := NewPGMix(opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// textbookMix is the mixture as the papers write it: rounds of one length, a
// negative binomial likelihood, and a share of 1e-3 a round.
type textbookMix struct {
	weight [mixed]float64
	g      [mixed]gamma
}

func (m *textbookMix) observe(n int, taus [mixed]float64, round float64) {
	var sum float64
	for i, tau := range taus {
		d := math.Exp(-round / tau)
		g := gamma{d*m.g[i].shape + (1-d)*0.02, d*m.g[i].exposure + (1-d)*2}
		m.weight[i] *= math.Exp(g.predict(round).LogProb(n))
		m.g[i] = g.seen(float64(n), round)
		sum += m.weight[i]
	}
	for i := range m.weight {
		m.weight[i] = (1-1e-3)*m.weight[i]/sum + 1e-3/mixed
	}
}

func (m *textbookMix) mean() float64 {
	var sum float64
	for i, g := range m.g {
		sum += m.weight[i] * g.rate()
	}
	return sum
}

// In continuous time the mixture stays close to the textbook's in short rounds.
func TestPGMixIsTheTextbooks(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	m := newPGMix(t, PGMixOptions{})
	slow := textbookMix{weight: m.weight, g: m.g}
	const round = 0.1
	m.share = -math.Log(1-1e-3) / round // the textbook's, per second
	for i := range 20000 {
		rate := 2.0 // on for 100 s, off for 100 s, and later steady
		if i < 10000 && i/1000%2 == 1 {
			rate = 0.02
		}
		n := poisson(rng, rate*round)
		m.Observe(n, 100*time.Millisecond)
		slow.observe(n, m.taus, round)
		got, want := m.Forecast(0).Mean(), slow.mean()
		if math.Abs(got-want) > 0.04*want {
			t.Fatalf("mean after round %d = %v, want near %v (weights %v, want %v)", i, got, want, m.weight, slow.weight)
		}
	}
}

func TestPGMixChoosesTheMemory(t *testing.T) {
	for _, tt := range []struct {
		name string
		feed func(m *PGMix)
		best func(w [mixed]float64) bool
	}{
		{"a burst wants the shortest", func(m *PGMix) {
			m.Observe(2, 3600*time.Second)
			for range 40 {
				m.Observe(10, time.Second/2)
			}
		}, func(w [mixed]float64) bool { return w[0] > 0.9 }},
		{"a steady trickle wants the longest", func(m *PGMix) {
			for range 100 {
				m.Observe(0, 200*time.Second)
				m.Observe(1, 0)
			}
		}, func(w [mixed]float64) bool { return w[3] > 0.5 && w[3] > w[2] && w[2] > w[1] }},
	} {
		m := newPGMix(t, PGMixOptions{})
		tt.feed(m)
		if !tt.best(m.weight) {
			t.Errorf("%s: weights %.3v", tt.name, m.weight)
		}
	}
}

// How far the mean after silence depends on how the silence was cut.
func TestPGMixSplit(t *testing.T) {
	histories := map[string]func(m *PGMix){
		"new": func(m *PGMix) {},
		"burst": func(m *PGMix) {
			for range 20 {
				m.Observe(5, time.Second/2)
			}
		},
		"trickle": func(m *PGMix) {
			for range 40 {
				m.Observe(0, 300*time.Second)
				m.Observe(1, 0)
			}
		},
		"steady": func(m *PGMix) {
			for range 4000 {
				m.Observe(1, time.Second/2)
			}
		},
	}
	for _, tt := range []struct {
		silence   time.Duration
		tolerance float64
	}{
		{5 * time.Second, 0.001}, {time.Minute, 0.005}, {10 * time.Minute, 0.05}, {time.Hour, 0.11}, {24 * time.Hour, 0.11},
	} {
		for name, history := range histories {
			t.Run(fmt.Sprintf("%s/%v", name, tt.silence), func(t *testing.T) {
				once, often := newPGMix(t, PGMixOptions{}), newPGMix(t, PGMixOptions{})
				history(once)
				history(often)
				once.Observe(0, tt.silence)
				for range tt.silence / (time.Second / 2) {
					often.Observe(0, time.Second/2)
				}
				got, want := once.Forecast(0).Mean(), often.Forecast(0).Mean()
				if math.Abs(got-want) > tt.tolerance*want {
					t.Errorf("mean = %v in one step, %v in rounds", got, want)
				}
				for i := range once.g { // the filters themselves do not depend on it
					if a, b := once.g[i], often.g[i]; math.Abs(a.shape-b.shape) > 1e-9*b.shape || math.Abs(a.exposure-b.exposure) > 1e-9*b.exposure {
						t.Errorf("filter %d = %+v in one step, %+v in rounds", i, a, b)
					}
				}
			})
		}
	}
}

func TestLogRising(t *testing.T) {
	for _, a := range []float64{1e-300, 0.02, 0.5, 3, 40, 1e6} {
		for n := 1.0; n < 30; n++ {
			var want float64
			for i := range int(n) {
				want += math.Log(a + float64(i))
			}
			if got := logRising(a, n); math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
				t.Errorf("logRising(%v, %v) = %v, want %v", a, n, got, want)
			}
		}
	}
	if got, want := logRising(4, 0.5), 2.4537365708424422-math.Log(6); math.Abs(got-want) > 1e-14 {
		t.Errorf("logRising(4, 0.5) = %v, want %v", got, want)
	}
}

func TestMeanDecay(t *testing.T) {
	for _, c := range []float64{-20, -1, -1.01e-3, -0.99e-3, -1e-9, 0, 1e-9, 0.99e-3, 1.01e-3, 1, 50} {
		const steps = 10000
		var want float64
		for i := range steps {
			want += math.Exp(-c*(float64(i)+0.5)/steps) / steps
		}
		if got := meanDecay(c); math.Abs(got-want) > 1e-5*want {
			t.Errorf("meanDecay(%v) = %v, want %v", c, got, want)
		}
	}
}
