package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func newPoissonGamma(t *testing.T, opts PoissonGammaOptions) *PoissonGamma {
	t.Helper()
	f, err := NewPoissonGamma(opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPoissonGamma(t *testing.T) {
	start := Prior{StartCount: 1, StartTime: 10 * time.Second, NoPull: true}
	const ever = 1e6 * time.Hour // too slow to forget anything here
	for _, tt := range []struct {
		name        string
		tau         time.Duration
		prior       Prior
		seen        []spanned
		mean, shape float64
	}{
		{"starts at the default prior", 0, Prior{}, nil, 0.5 / 60, 0.5},
		{"starts at the given prior", 0, start, nil, 0.1, 1},
		{"adds up what it never forgets", ever, start, []spanned{{5, 20 * time.Second}}, 6.0 / 30, 6},
		{"silence is evidence too", ever, start, []spanned{{0, 90 * time.Second}}, 0.01, 1},
		{"an arrival at an instant takes no time", ever, start, []spanned{{2, 0}}, 0.3, 3},
		{"negative count and span are none", ever, start, []spanned{{-2, -time.Hour}}, 0.1, 1},
		{"fades to what is seen, without bias in long rounds", 10 * time.Second, start,
			[]spanned{{1000, 20 * time.Second}, {1000, 20 * time.Second}, {1000, 20 * time.Second}, {1000, 20 * time.Second}}, 50, 500},
		{"ends at the pull and tau after long silence", 8 * time.Second, Prior{PullCount: 3, PullTime: 7 * time.Second},
			[]spanned{{9, time.Second}, {0, time.Hour}}, 3.0 / 15, 3},
	} {
		f := newPoissonGamma(t, PoissonGammaOptions{Tau: tt.tau, Prior: tt.prior})
		for _, s := range tt.seen {
			f.Observe(s.n, s.span)
		}
		if got := f.Forecast(time.Minute).Mean(); math.Abs(got-tt.mean) > 1e-2*tt.mean {
			t.Errorf("%s: mean after %v = %v, want %v", tt.name, tt.seen, got, tt.mean)
		}
		if math.Abs(f.g.shape-tt.shape) > 1e-2*tt.shape {
			t.Errorf("%s: shape after %v = %v, want %v", tt.name, tt.seen, f.g.shape, tt.shape)
		}
	}
}

// The filter must know how little it knows: of Poisson counts at a steady rate, as
// many are to fall below a predicted quantile as it says.
func TestPoissonGammaIsCalibrated(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	f := newPoissonGamma(t, PoissonGammaOptions{Tau: 20 * time.Second, Prior: Prior{NoPull: true}})
	const rounds, q = 40000, 0.9
	below := 0.0
	for range rounds {
		law := f.Predict(time.Second)
		n := poisson(rng, 3)
		// Discrete: the quantile's own probability counts in the part that makes it exact.
		k := law.Quantile(q)
		switch {
		case n < k:
			below++
		case n == k:
			below += (q - law.CDF(k-1)) / (law.CDF(k) - law.CDF(k-1))
		}
		f.Observe(n, time.Second)
	}
	// With tau = 20 s the filter is a little wider than a steady rate needs.
	if got := below / rounds; got < q-0.005 || got > q+0.02 {
		t.Errorf("%v of the counts lie below the %v quantile", got, q)
	}
}

// poisson draws from a Poisson distribution (Knuth; fine for small means).
func poisson(rng *rand.Rand, mean float64) int {
	n := -1
	for p := 1.0; p > math.Exp(-mean); n++ {
		p *= rng.Float64()
	}
	return n
}

// The loss in closed form against the sum of rate x dt along the way.
func TestSilenceIsTheIntegralOfTheRate(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range 200 {
		f := fading{tau: math.Exp(6 * rng.Float64()), pull: gamma{rng.Float64(), 10 * rng.Float64()}}
		if i%10 == 0 {
			f.pull = gamma{}
		}
		g := gamma{math.Exp(8*rng.Float64() - 4), math.Exp(6*rng.Float64() + 1)}
		if i%7 == 0 {
			g.exposure = f.tau + f.pull.exposure // where silence leads: nothing to divide by
		}
		s := f.tau * math.Exp(4*rng.Float64()-3)
		end, _, loss := f.silence(g, s)

		const steps = 2000
		at, want := g, 0.0
		for range steps { // Simpson's rule
			mid := f.advance(at, 0, s/steps/2)
			next := f.advance(mid, 0, s/steps/2)
			want += (at.rate() + 4*mid.rate() + next.rate()) / 6 * s / steps
			at = next
		}
		if math.Abs(loss-want) > 1e-7*want {
			t.Errorf("loss of %+v over %v s with %+v = %v, want %v", g, s, f, loss, want)
		}
		if math.Abs(end.shape-at.shape) > 1e-9*at.shape || math.Abs(end.exposure-at.exposure) > 1e-9*at.exposure {
			t.Errorf("%+v after %v s with %+v is %+v, want %+v", g, s, f, end, at)
		}
	}
}

// Without forgetting, the loss is the negative binomial's: that of an empty count.
func TestSilenceIsNegativeBinomial(t *testing.T) {
	f := fading{tau: 1e12}
	g := gamma{2.5, 40}
	_, _, loss := f.silence(g, 100)
	if want := -g.predict(100).LogProb(0); math.Abs(loss-want) > 1e-9 {
		t.Errorf("loss = %v, want %v", loss, want)
	}
}
