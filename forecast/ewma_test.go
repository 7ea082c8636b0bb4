package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// spanned is n arrivals in a span.
type spanned struct {
	n    int
	span time.Duration
}

func TestEWMA(t *testing.T) {
	const tau = 10 * time.Second
	half := time.Duration(math.Ln2 * tau.Seconds() * 1e9) // after which a half is left
	for _, tt := range []struct {
		name string
		seen []spanned
		want float64
	}{
		{"nothing seen is no rate", nil, 0},
		{"arrivals before any time are no rate yet", []spanned{{3, 0}}, 0},
		{"the first span is the mean", []spanned{{8, 2 * time.Second}}, 4},
		{"a constant rate is found at once, however it is cut", []spanned{{1, time.Second / 2}, {6, 3 * time.Second}, {2, time.Second}}, 2},
		{"the newer of two halves weighs twice the older", []spanned{{0, half}, {6931, half}}, 1000 * 2 / 3.0},
		{"and so the other way", []spanned{{6931, half}, {0, half}}, 1000 / 3.0},
		{"an arrival at the end adds 1/tau, over what is seen of tau", []spanned{{0, half}, {1, 0}}, 0.1 / 0.5},
		{"negative count and span are none", []spanned{{4, time.Second}, {-3, 0}, {0, -time.Hour}}, 4},
	} {
		e, err := NewEWMA(EWMAOptions{Tau: tau})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range tt.seen {
			e.Observe(s.n, s.span)
		}
		if got := e.Forecast(0).Mean(); math.Abs(got-tt.want) > 1e-4*tt.want {
			t.Errorf("%s: mean after %v = %v, want %v", tt.name, tt.seen, got, tt.want)
		}
	}
}

// The slow twin keeps every arrival and weighs it by its age.
func TestEWMAIsAWeightedMean(t *testing.T) {
	const tau = 7.0
	rng := rand.New(rand.NewPCG(2, 2))
	e, err := NewEWMA(EWMAOptions{Tau: 7 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var now float64
	var arrivals []float64
	for range 300 {
		gap := time.Duration(rng.ExpFloat64() * float64(time.Second))
		now += gap.Seconds()
		e.Observe(0, gap)
		e.Observe(1, 0)
		arrivals = append(arrivals, now)

		var sum float64
		for _, at := range arrivals {
			sum += math.Exp(-(now - at) / tau)
		}
		want := sum / (tau * (1 - math.Exp(-now/tau)))
		if got := e.Forecast(time.Second).Mean(); math.Abs(got-want) > 1e-11*want {
			t.Fatalf("mean after %d arrivals = %v, want %v", len(arrivals), got, want)
		}
	}
}
