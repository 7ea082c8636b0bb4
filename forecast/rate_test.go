package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/forecast/dist"
	"gonum.org/v1/gonum/stat/distuv"
)

// mixture is a Rate of two gamma parts and a known one.
func mixture() Rate {
	var r Rate
	r.add(0.5, 2, 3)
	r.add(0.3, 20, 0.4)
	r.add(0.2, 7, 0)
	return r
}

// randomRate draws a mixture of up to four parts, of all sizes.
func randomRate(rng *rand.Rand) Rate {
	var r Rate
	n := 1 + rng.IntN(maxParts)
	for range n {
		shape := math.Exp(14*rng.Float64() - 4)
		if rng.IntN(5) == 0 {
			shape = 0
		}
		r.add(1/float64(n), math.Exp(12*rng.Float64()-8), shape)
	}
	return r
}

func TestRateMoments(t *testing.T) {
	for _, tt := range []struct {
		name           string
		rate           Rate
		mean, variance float64
	}{
		{"the zero rate", Rate{}, 0, 0},
		{"a known rate", Known(3), 3, 0},
		{"shape 0 is a known rate", Uncertain(3, 0), 3, 0},
		{"nonsense is no rate", Known(math.NaN()), 0, 0},
		{"a negative rate is none", Known(-1), 0, 0},
		{"a gamma rate", Uncertain(6, 4), 6, 9},
		{"a mixture: parts' variance and that between them", mixture(), 8.4,
			0.5*4/3.0 + 0.3*400/0.4 + 0.5*6.4*6.4 + 0.3*11.6*11.6 + 0.2*1.4*1.4},
	} {
		if got := tt.rate.Mean(); math.Abs(got-tt.mean) > 1e-12 {
			t.Errorf("%s: Mean = %v, want %v", tt.name, got, tt.mean)
		}
		if got := tt.rate.Variance(); math.Abs(got-tt.variance) > 1e-9 {
			t.Errorf("%s: Variance = %v, want %v", tt.name, got, tt.variance)
		}
	}
}

func TestRateQuantile(t *testing.T) {
	for _, q := range []float64{0.001, 0.1, 0.5, 0.9, 0.9999} {
		gamma := distuv.Gamma{Alpha: 2.5, Beta: 2.5 / 40}
		if got, want := Uncertain(40, 2.5).Quantile(q), gamma.Quantile(q); math.Abs(got-want) > 1e-8*want {
			t.Errorf("gamma quantile %v = %v, want %v", q, got, want)
		}
		if got := Known(5).Quantile(q); math.Abs(got-5) > 1e-8 {
			t.Errorf("quantile %v of a known rate = %v, want 5", q, got)
		}
		r := mixture()
		x := r.Quantile(q)
		if below, above := r.CDF(x*(1-1e-8)), r.CDF(x*(1+1e-8)); below > q || above < q {
			t.Errorf("mixture quantile %v = %v, where the CDF goes from %v to %v", q, x, below, above)
		}
	}
	for _, tt := range []struct {
		name string
		rate Rate
		q    float64
		want float64
	}{
		{"of no rate", Rate{}, 0.9, 0},
		{"0", mixture(), 0, 0},
		{"NaN", mixture(), math.NaN(), 0},
		{"a median too small to tell from 0", Uncertain(1, 1e-3), 0.1, 0},
	} {
		if got := tt.rate.Quantile(tt.q); math.Abs(got-tt.want) > 1e-14 {
			t.Errorf("quantile %s = %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := mixture().Quantile(1); math.IsInf(got, 1) || got < mixture().Quantile(0.9999) {
		t.Errorf("quantile 1 = %v, want a large finite rate", got)
	}
}

func TestOccupancyTail(t *testing.T) {
	r := mixture()
	service := 300 * time.Millisecond
	for k := -1; k < 30; k++ {
		want := 0.5*dist.NegBin{Mean: 0.6, Shape: 3}.Tail(k) + 0.3*dist.NegBin{Mean: 6, Shape: 0.4}.Tail(k) + 0.2*dist.Poisson{Mean: 2.1}.Tail(k)
		if got := r.OccupancyTail(service, k); math.Abs(got-want) > 1e-12 {
			t.Errorf("P(occupancy >= %d) = %v, want %v", k, got, want)
		}
	}
	if got := r.OccupancyTail(-time.Second, 1); got != 0 {
		t.Errorf("without service P(occupancy >= 1) = %v, want 0", got)
	}
}

func TestOccupancyQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 300 {
		r, service := randomRate(rng), time.Duration(rng.ExpFloat64()*1e9)
		q := rng.Float64()
		k := r.OccupancyQuantile(service, q)
		if r.OccupancyTail(service, k+1) > 1-q+1e-12 || k > 0 && r.OccupancyTail(service, k) <= 1-q-1e-12 {
			t.Errorf("%+v: %v quantile of the occupancy over %v = %d", r, q, service, k)
		}
	}
	for _, tt := range []struct {
		q    float64
		want int
	}{{0, 0}, {-1, 0}, {math.NaN(), 0}, {1, dist.MaxCount}} {
		if got := mixture().OccupancyQuantile(time.Second, tt.q); got != tt.want {
			t.Errorf("quantile %v = %d, want %d", tt.q, got, tt.want)
		}
	}
}
