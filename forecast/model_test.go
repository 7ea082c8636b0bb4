package forecast

import (
	"encoding"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/forecast/dist"
)

// saved is what every model here is, beyond a Model.
type saved interface {
	Model
	encoding.BinaryAppender
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

var names = []string{"ewma", "holt", "poissongamma", "poissongamma without pull", "pgmix", "pgmix without pull"}

// newModel makes the model of that name with default options.
func newModel(t testing.TB, name string) saved {
	t.Helper()
	var m saved
	var err error
	switch name {
	case "ewma":
		m, err = NewEWMA(EWMAOptions{})
	case "holt":
		m, err = NewHolt(HoltOptions{})
	case "poissongamma":
		m, err = NewPoissonGamma(PoissonGammaOptions{})
	case "poissongamma without pull":
		m, err = NewPoissonGamma(PoissonGammaOptions{Prior: Prior{NoPull: true}})
	case "pgmix":
		m, err = NewPGMix(PGMixOptions{})
	case "pgmix without pull":
		m, err = NewPGMix(PGMixOptions{Prior: Prior{NoPull: true}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// eachModel runs f as a subtest per model.
func eachModel(t *testing.T, f func(t *testing.T, name string)) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) { f(t, name) })
	}
}

// checkForecast fails unless every figure of a forecast is finite and in range.
func checkForecast(t *testing.T, m Model, after any) {
	t.Helper()
	for _, horizon := range []time.Duration{-time.Second, 0, time.Second, time.Minute, math.MaxInt64} {
		r := m.Forecast(horizon)
		for what, v := range map[string]float64{"mean": r.Mean(), "variance": r.Variance()} {
			if !(v >= 0) || math.IsInf(v, 1) {
				t.Fatalf("%s %v ahead after %v = %v", what, horizon, after, v)
			}
		}
		if p := r.OccupancyTail(time.Second, 2); !(p >= 0 && p <= 1) {
			t.Fatalf("P(occupancy >= 2) %v ahead after %v = %v", horizon, after, p)
		}
		if n := r.Servers(100*time.Millisecond, time.Minute); n < 0 || n > dist.MaxCount {
			t.Fatalf("servers %v ahead after %v = %d", horizon, after, n)
		}
	}
	if q := m.Forecast(0).Quantile(0.99); !(q >= 0) || math.IsInf(q, 1) {
		t.Fatalf("quantile after %v = %v", after, q)
	}
}

func TestForecastsAreFinite(t *testing.T) {
	const round = 500 * time.Millisecond
	histories := map[string][]spanned{
		"nothing":           nil,
		"silence":           {{0, round}, {0, round}, {0, time.Hour}, {0, 24 * 365 * time.Hour}},
		"endless silence":   {{0, math.MaxInt64}, {0, math.MaxInt64}},
		"one spike":         {{0, time.Hour}, {1000, round}, {0, round}, {0, time.Hour}, {0, 1000 * time.Hour}},
		"a huge count":      {{1e15, round}, {0, round}, {1e15, round}, {0, 10 * time.Hour}, {3, round}},
		"the largest count": {{math.MaxInt64, 1}, {math.MaxInt64, 1}, {0, time.Hour}},
		"nanoseconds":       {{1, 1}, {0, 1}, {5, 1}, {0, 2}, {1, round}},
		"no time at all":    {{1, 0}, {5, 0}, {1e15, 0}},
		"negative":          {{-5, -round}, {3, -round}, {-3, round}, {math.MinInt64, math.MinInt64}},
		"endless span":      {{7, math.MaxInt64}, {1, 0}},
	}
	eachModel(t, func(t *testing.T, name string) {
		for what, history := range histories {
			m := newModel(t, name)
			checkForecast(t, m, what)
			for _, s := range history {
				m.Observe(s.n, s.span)
				checkForecast(t, m, what)
			}
		}
	})
}

// randomSpanned draws counts and spans over many orders of magnitude.
func randomSpanned(rng *rand.Rand) spanned {
	s := spanned{span: time.Duration(math.Exp(32*rng.Float64()) * float64(rng.IntN(3)))} // ns to a day
	if rng.IntN(2) == 0 {
		s.n = int(math.Exp(rng.Float64() * float64(rng.IntN(20))))
	}
	return s
}

func TestForecastsAreFiniteOnAnything(t *testing.T) {
	eachModel(t, func(t *testing.T, name string) {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 11))
			m := newModel(t, name)
			for i := range 200 {
				s := randomSpanned(rng)
				m.Observe(s.n, s.span)
				if i%10 == 0 {
					checkForecast(t, m, s)
				}
			}
		}
	})
}

// Silence in one span must lead where the same silence in pieces leads. PGMix has a
// test of its own, with tolerances.
func TestSilenceSplits(t *testing.T) {
	eachModel(t, func(t *testing.T, name string) {
		if name == "pgmix" || name == "pgmix without pull" {
			t.Skip("TestPGMixSplit")
		}
		rng := rand.New(rand.NewPCG(12, 12))
		for range 500 {
			once, twice := newModel(t, name), newModel(t, name)
			for range 20 {
				s := spanned{rng.IntN(50), time.Duration(rng.Int64N(int64(5 * time.Second)))}
				once.Observe(s.n, s.span)
				twice.Observe(s.n, s.span)
			}
			silence := time.Duration(math.Exp(8*rng.Float64()) * 1e8) // up to five minutes
			part := time.Duration(rng.Float64() * float64(silence))
			once.Observe(0, silence)
			twice.Observe(0, part)
			twice.Observe(0, silence-part)
			a, b := once.Forecast(0), twice.Forecast(0)
			if math.Abs(a.Mean()-b.Mean()) > 1e-12*max(a.Mean(), b.Mean()) && math.Abs(a.Mean()-b.Mean()) > 1e-15 {
				t.Fatalf("mean after %v = %v, in two parts %v", silence, a.Mean(), b.Mean())
			}
			if math.Abs(a.Variance()-b.Variance()) > 1e-11*a.Variance() {
				t.Fatalf("variance after %v = %v, in two parts %v", silence, a.Variance(), b.Variance())
			}
		}
	})
}

// A thousand times the arrivals are a thousand times the rate. The Poisson-gamma
// models have a scale of their own: for them, one arrival is one piece of evidence.
func TestScale(t *testing.T) {
	for _, name := range []string{"ewma", "holt"} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(13, 13))
			small, large := newModel(t, name), newModel(t, name)
			for range 1000 {
				n, span := rng.IntN(20), time.Duration(rng.ExpFloat64()*1e9)
				small.Observe(n, span)
				large.Observe(1000*n, span)
				a, b := small.Forecast(20*time.Second).Mean(), large.Forecast(20*time.Second).Mean()
				if math.Abs(b-1000*a) > 1e-9*b {
					t.Fatalf("forecast of 1000 times the arrivals = %v, want 1000 times %v", b, a)
				}
			}
		})
	}
}

// All models find a steady rate in the long run, whatever the rounds.
func TestSteadyRate(t *testing.T) {
	eachModel(t, func(t *testing.T, name string) {
		for _, span := range []time.Duration{37 * time.Millisecond, time.Second, 20 * time.Second} {
			m := newModel(t, name)
			rng := rand.New(rand.NewPCG(14, 14))
			var sum float64
			n := 0
			for at := time.Duration(0); at < 4*time.Hour; at += span {
				m.Observe(poisson(rng, 8*span.Seconds()), span)
				if at > 2*time.Hour {
					sum += m.Forecast(0).Mean()
					n++
				}
			}
			// The pull costs the default PoissonGamma 2/62 of it, a PGMix at most 2/12.
			if mean := sum / float64(n); math.Abs(mean-8) > 0.35 {
				t.Errorf("rounds of %v: mean forecast %v, want 8", span, mean)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  func() error
	}{
		{"EWMA, negative tau", func() error { _, err := NewEWMA(EWMAOptions{Tau: -1}); return err }},
		{"Holt, negative tick", func() error { _, err := NewHolt(HoltOptions{Tick: -1}); return err }},
		{"Holt, negative level", func() error { _, err := NewHolt(HoltOptions{Level: -1}); return err }},
		{"Holt, trend within a tick", func() error { _, err := NewHolt(HoltOptions{Trend: time.Second, Tick: time.Second}); return err }},
		{"PoissonGamma, negative tau", func() error { _, err := NewPoissonGamma(PoissonGammaOptions{Tau: -1}); return err }},
		{"PoissonGamma, start without time", func() error {
			_, err := NewPoissonGamma(PoissonGammaOptions{Prior: Prior{StartCount: 1}})
			return err
		}},
		{"PoissonGamma, pull without count", func() error {
			_, err := NewPoissonGamma(PoissonGammaOptions{Prior: Prior{PullTime: 1}})
			return err
		}},
		{"PGMix, a negative tau", func() error { _, err := NewPGMix(PGMixOptions{Taus: [4]time.Duration{0, -1}}); return err }},
		{"PGMix, share of 1", func() error { _, err := NewPGMix(PGMixOptions{Share: 1}); return err }},
		{"PGMix, share of NaN", func() error { _, err := NewPGMix(PGMixOptions{Share: math.NaN()}); return err }},
		{"PGMix, negative start", func() error {
			_, err := NewPGMix(PGMixOptions{Prior: Prior{StartCount: -1, StartTime: 1}})
			return err
		}},
	} {
		if tt.err() == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	eachModel(t, func(t *testing.T, name string) {
		m := newModel(t, name)
		state := make([]byte, 0, 200)
		i, servers := 0, 0
		n := testing.AllocsPerRun(1000, func() {
			i++
			m.Observe(i%3, time.Duration(i)*time.Millisecond)
			servers += m.Forecast(3*time.Second).Servers(time.Second, time.Minute)
			state, _ = m.AppendBinary(state[:0])
		})
		if n != 0 {
			t.Errorf("Observe, Forecast, Servers and AppendBinary: %v allocations, want 0", n)
		}
	})
	busy := Uncertain(3000, 9)
	if n := testing.AllocsPerRun(100, func() { busy.Servers(time.Second, time.Minute) }); n != 0 {
		t.Errorf("Servers of a busy function: %v allocations, want 0", n)
	}
}
