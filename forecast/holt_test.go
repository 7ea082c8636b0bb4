package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func newHolt(t *testing.T, opts HoltOptions) *Holt {
	t.Helper()
	h, err := NewHolt(opts)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// The closed form of many equal steps against these steps, one by one.
func TestJumpIsManySteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		p := smoothing{alpha: rng.Float64(), phi: 1 - 0.3*rng.Float64()}
		p.beta = p.alpha * rng.Float64()
		start := trend{100 * rng.Float64(), 10 * rng.NormFloat64()}
		y := 50 * rng.Float64()
		want := start
		for n := int64(1); n <= 300; n++ {
			want = p.next(want, y)
			got := p.jump(start, y, n)
			if math.Abs(got.level-want.level) > 1e-10 || math.Abs(got.slope-want.slope) > 1e-10 {
				t.Fatalf("%+v.jump(%v, %v, %d) = %v, want %v", p, start, y, n, got, want)
			}
		}
	}
}

// One tick at a time Holt is the plain recursion, once it is warm.
func TestHoltIsTheRecursion(t *testing.T) {
	h := newHolt(t, HoltOptions{Level: time.Second, Trend: 4 * time.Second, Damping: 5 * time.Second})
	rng := rand.New(rand.NewPCG(4, 4))
	var want trend
	var sum float64
	for i := range 500 {
		n := rng.IntN(7)
		h.Observe(n, 100*time.Millisecond)
		y := float64(n) / 0.1
		if i < 10 { // a Level long, the mean
			sum += y
			want.level = sum / float64(i+1)
		} else {
			want = h.p.next(want, y)
		}
		got := h.Forecast(700 * time.Millisecond).Mean()
		if f := max(0, h.p.ahead(want, 7)); math.Abs(got-f) > 1e-9 {
			t.Fatalf("forecast after %d ticks = %v, want %v", i+1, got, f)
		}
	}
}

func TestHoltFollowsARamp(t *testing.T) {
	h := newHolt(t, HoltOptions{})
	e, err := NewEWMA(EWMAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for s := range 600 { // 0.2 arrivals/s more every second
		h.Observe(s/5, time.Second)
		e.Observe(s/5, time.Second)
	}
	const now, ahead = 120.0, 126.0 // at once, and in 30 s
	flat := e.Forecast(0).Mean()
	atOnce, in30 := h.Forecast(0).Mean(), h.Forecast(30*time.Second).Mean()
	if now-atOnce > 0.6*(now-flat) {
		t.Errorf("level %v lags behind %v nearly as much as the EWMA %v", atOnce, now, flat)
	}
	// Half of the slope of 0.2/s^2, damped over 30 s to 26.5 s of it.
	if got, want := in30-atOnce, 0.1*26.5; math.Abs(got-want) > 0.1*want {
		t.Errorf("forecast in 30 s = %v, %v above the level; want %v above (true rate %v)", in30, got, want, ahead)
	}
}

func TestHoltNeverNegative(t *testing.T) {
	h := newHolt(t, HoltOptions{})
	for range 100 {
		h.Observe(1000, time.Second)
	}
	fallen := false
	for range 3000 {
		h.Observe(0, 100*time.Millisecond)
		for _, horizon := range []time.Duration{-time.Second, 0, 10 * time.Second, time.Hour} {
			f := h.Forecast(horizon).Mean()
			if f < 0 || math.IsNaN(f) {
				t.Fatalf("forecast %v ahead = %v", horizon, f)
			}
			fallen = fallen || f == 0
		}
	}
	if !fallen {
		t.Error("no forecast reached 0: the test never got to the clamp")
	}
}

func TestHoltTickUnderWay(t *testing.T) {
	h := newHolt(t, HoltOptions{})
	h.Observe(5, 0)
	if got := h.Forecast(0).Mean(); got != 0 {
		t.Errorf("arrivals of a tick that is not over give %v, want 0", got)
	}
	h.Observe(0, 60*time.Millisecond)
	h.Observe(0, 40*time.Millisecond)
	if got := h.Forecast(0).Mean(); math.Abs(got-50) > 1e-12 {
		t.Errorf("5 arrivals in the first tick of 100 ms give %v, want 50", got)
	}
	h.Observe(0, 4*100*time.Millisecond)
	if got := h.Forecast(0).Mean(); math.Abs(got-10) > 1e-12 {
		t.Errorf("5 arrivals in five ticks give %v, want 10", got)
	}
}
