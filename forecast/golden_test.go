package forecast

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The reference values come from R; see testdata/README.md. The trimmed copy is
// always there, the full one only beside a developer's checkout.
const (
	trimmedGolden = "testdata"
	fullGolden    = "../../shared/data/golden"
)

// eachGolden runs f over the trimmed and the full copy of the reference values.
func eachGolden(t *testing.T, f func(t *testing.T, folder string)) {
	t.Run("trimmed", func(t *testing.T) { f(t, trimmedGolden) })
	t.Run("full", func(t *testing.T) {
		if _, err := os.Stat(fullGolden); err != nil {
			t.Skipf("full reference values are not in %s", fullGolden)
		}
		f(t, fullGolden)
	})
}

// readGolden decodes folder/name.json.gz into v.
func readGolden(t *testing.T, folder, name string, v any) {
	t.Helper()
	file, err := os.Open(filepath.Join(folder, name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// goldenFit is one exponential smoothing run with given parameters and start.
type goldenFit struct {
	Series string
	Method string
	Fixed  bool
	Par    struct{ Alpha, Beta, Phi float64 }
	Init   []float64 // level, and trend where there is one

	Fitted []float64 // one-step forecasts
	Level  []float64 // the start and the level after every value
	Trend  []float64 // the same of the trend; only ets_fixed has it
	Final  []float64 `json:"final_state"`
	Mean   []float64 `json:"forecast_mean"` // 1, 2, ... 24 steps ahead
}

// smoothing gives the parameters in our form.
func (g goldenFit) smoothing() smoothing {
	p := smoothing{alpha: g.Par.Alpha, beta: g.Par.Beta, phi: g.Par.Phi}
	if p.phi == 0 {
		p.phi = 1
	}
	if g.Method == "holt" { // its beta is beta*, that of ETS is alpha beta*
		p.beta *= p.alpha
	}
	return p
}

func (g goldenFit) start() trend {
	if len(g.Init) == 1 {
		return trend{level: g.Init[0]}
	}
	return trend{level: g.Init[0], slope: g.Init[1]}
}

// goldenFits reads the runs of a file whose methods are wanted, and their series.
func goldenFits(t *testing.T, folder, name string, wanted ...string) (fits []goldenFit, series map[string][]float64) {
	var all struct{ Cases []goldenFit }
	readGolden(t, folder, name, &all)
	for _, c := range all.Cases {
		for _, w := range wanted {
			if c.Method == w {
				fits = append(fits, c)
			}
		}
	}
	var s map[string]struct{ Values []float64 }
	readGolden(t, folder, "series", &s)
	series = make(map[string][]float64)
	for k, v := range s {
		series[k] = v.Values
	}
	return fits, series
}

// close to 1e-9 of want: R printed 15 digits.
func checkGolden(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))) {
		t.Errorf("%s = %v, R says %v", what, got, want)
	}
}

// checkFit runs the smoothing over y and compares every state and forecast.
func (g goldenFit) check(t *testing.T, y []float64) {
	t.Helper()
	if len(y) == 0 || len(g.Fitted) != len(y) || len(g.Level) != len(y)+1 || len(g.Mean) != 24 {
		t.Fatalf("%d fitted, %d levels, %d forecasts for %d values", len(g.Fitted), len(g.Level), len(g.Mean), len(y))
	}
	p, s := g.smoothing(), g.start()
	for i, v := range y {
		checkGolden(t, "one-step forecast", p.ahead(s, 1), g.Fitted[i])
		s = p.next(s, v)
		checkGolden(t, "level", s.level, g.Level[i+1])
		if g.Trend != nil {
			checkGolden(t, "trend", s.slope, g.Trend[i+1])
		}
	}
	checkGolden(t, "final level", s.level, g.Final[0])
	if len(g.Final) > 1 {
		checkGolden(t, "final trend", s.slope, g.Final[1])
	}
	for i, want := range g.Mean {
		checkGolden(t, "forecast", p.ahead(s, float64(i+1)), want)
	}
}

func runFits(t *testing.T, file string, atLeast int, methods ...string) {
	eachGolden(t, func(t *testing.T, folder string) {
		fits, series := goldenFits(t, folder, file, methods...)
		if len(fits) < atLeast {
			t.Fatalf("%d runs in %s, want at least %d", len(fits), file, atLeast)
		}
		t.Logf("%d runs", len(fits))
		for _, g := range fits {
			t.Run(g.Series+"/"+g.Method, func(t *testing.T) { g.check(t, series[g.Series]) })
		}
	})
}

// Additive-error models without season: ETS(A,N,N), ETS(A,A,N) and ETS(A,Ad,N).
func TestGoldenETS(t *testing.T) {
	runFits(t, "ets_fixed", 63, "ETS(A,N,N)", "ETS(A,A,N)", "ETS(A,Ad,N)")
}

// Simple exponential smoothing and Holt's method with simple starting values.
func TestGoldenHoltSimple(t *testing.T) { runFits(t, "holt_simple", 56, "ses", "holt") }

// The same references by way of Observe and Forecast: a series of whole numbers is
// a count per tick of one second.
func TestGoldenHoltOnline(t *testing.T) {
	eachGolden(t, func(t *testing.T, folder string) {
		fits, series := goldenFits(t, folder, "ets_fixed", "ETS(A,N,N)", "ETS(A,A,N)", "ETS(A,Ad,N)")
		runs := 0
		for _, g := range fits {
			y := series[g.Series]
			if !whole(y) {
				continue
			}
			runs++
			h := &Holt{p: g.smoothing(), tick: time.Second, trend: g.start()}
			for _, v := range y {
				h.Observe(int(v), time.Second)
			}
			for i, want := range g.Mean {
				got := h.Forecast(time.Duration(i+1) * time.Second).Mean()
				checkGolden(t, g.Series+" "+g.Method, got, max(0, want))
			}
		}
		if t.Logf("%d runs", runs); runs < 36 {
			t.Errorf("%d runs, want at least 36", runs)
		}
	})
}

func whole(y []float64) bool {
	for _, v := range y {
		if v != math.Trunc(v) {
			return false
		}
	}
	return true
}

// goldenFilter is a run of the Poisson-gamma filter without pull over rounds of
// 1 s that fades (a <- d a, b <- d b) before it predicts and then sees the count.
type goldenFilter struct {
	Series   string
	Discount float64
	A, B     []float64 // after every count
	LogPred  []float64 // ln P(count), before it is seen
	Q95      []int     // of the predictive distribution
}

func goldenFilters(t *testing.T, folder string) (runs []goldenFilter, counts map[string][]int) {
	var g struct {
		Runs []goldenFilter `json:"poisson_gamma_filter"`
	}
	readGolden(t, folder, "dist_staffing_scores", &g)
	var in struct {
		Series map[string]struct{ Values []int }
	}
	readGolden(t, folder, "intermittent", &in)
	counts = make(map[string][]int)
	for k, v := range in.Series {
		counts[k] = v.Values
	}
	if len(g.Runs) != 24 {
		t.Fatalf("%d filter runs, want 24", len(g.Runs))
	}
	return g.Runs, counts
}

func TestGoldenPoissonGamma(t *testing.T) {
	eachGolden(t, func(t *testing.T, folder string) {
		runs, counts := goldenFilters(t, folder)
		for _, run := range runs {
			if len(counts[run.Series]) != len(run.A) || len(run.A) == 0 {
				t.Fatalf("%s: %d counts, %d states", run.Series, len(counts[run.Series]), len(run.A))
			}
			g := gamma{shape: 1, exposure: 1}
			for i, y := range counts[run.Series] {
				g = g.faded(run.Discount, gamma{})
				law := g.predict(1)
				checkGolden(t, run.Series+" log probability", law.LogProb(y), run.LogPred[i])
				if q := law.Quantile(0.95); q != run.Q95[i] {
					t.Errorf("%s, count %d: 95 %% quantile = %d, R says %d", run.Series, i, q, run.Q95[i])
				}
				g = g.seen(float64(y), 1)
				checkGolden(t, run.Series+" shape", g.shape, run.A[i])
				checkGolden(t, run.Series+" exposure", g.exposure, run.B[i])
			}
		}
	})
}

// The filter itself lets counts and seconds fade within their round too: with the
// start scaled by that factor, (1-d) tau, its state is the reference's so scaled.
func TestGoldenPoissonGammaOnline(t *testing.T) {
	eachGolden(t, func(t *testing.T, folder string) {
		runs, counts := goldenFilters(t, folder)
		for _, run := range runs {
			if run.Discount == 1 { // no time constant is infinite
				continue
			}
			tau := -1 / math.Log(run.Discount)
			each := (1 - run.Discount) * tau
			f := PoissonGamma{p: fading{tau: tau}, g: gamma{each, each}}
			for i, y := range counts[run.Series] {
				f.Observe(y, time.Second)
				checkGolden(t, run.Series+" shape", f.g.shape/each, run.A[i])
				checkGolden(t, run.Series+" exposure", f.g.exposure/each, run.B[i])
			}
		}
	})
}
