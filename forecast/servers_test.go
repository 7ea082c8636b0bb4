package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/forecast/dist"
	"gonum.org/v1/gonum/stat/distuv"
)

func TestServers(t *testing.T) {
	const minute = time.Minute
	for _, tt := range []struct {
		name           string
		rate           Rate
		service, price time.Duration
		want           int
	}{
		{"no rate, no container", Rate{}, time.Second, time.Hour, 0},
		{"a call in just over the price is not worth one", Known(1 / 60.001), time.Second, minute, 0},
		{"nor one in just the price", Known(0.5), time.Second, 2 * time.Second, 0},
		{"a call in just under the price is", Known(1 / 59.999), time.Second, minute, 1},
		{"calls that take no time need one at most", Known(1000), 0, minute, 1},
		{"nothing is worth holding for nothing", Known(1000), time.Second, 0, 0},
		{"a negative price is none", Known(1000), time.Second, -minute, 0},
		// Poisson(1): P(>=4) = 0.01899, P(>=5) = 0.00366; 10/s x 60 s x P <= 1 first at 6: 0.00059.
		{"the tail pays for the containers", Known(10), 100 * time.Millisecond, minute, 6},
		// As arrivals see it, negative binomial of shape 3 and mean 1.5: P(>=8) = 0.0034, P(>=9) = 0.0014.
		{"doubt holds more", Uncertain(10, 2), 100 * time.Millisecond, minute, 9},
	} {
		if got := tt.rate.Servers(tt.service, tt.price); got != tt.want {
			t.Errorf("%s: Servers = %d, want %d", tt.name, got, tt.want)
		}
	}
}

// The slow twin integrates rate x P(Poisson >= n) over the density of the rate.
func TestLostIsTheExpectation(t *testing.T) {
	for _, p := range []part{{1, 4, 2.5}, {1, 30, 8}, {0.3, 0.2, 1.5}} {
		gamma := distuv.Gamma{Alpha: p.shape, Beta: p.shape / p.mean}
		r := Rate{n: 1, parts: [maxParts]part{p}}
		const service = 0.4
		for _, n := range []int{0, 1, 3, 10, 25} {
			const steps = 200_000
			dx := p.mean * 25 / steps
			var want float64
			for i := range steps {
				x := (float64(i) + 0.5) * dx
				want += p.weight * gamma.Prob(x) * x * dist.Poisson{Mean: x * service}.Tail(n) * dx
			}
			if got := r.lost(400*time.Millisecond, n); math.Abs(got-want) > 1e-6*want+1e-20 {
				t.Errorf("%+v: E[rate 1{occupancy >= %d}] = %v, want %v", p, n, got, want)
			}
		}
	}
}

// Whichever way Servers finds its answer, the answer is the first that the rule allows.
func TestServersIsTheFirst(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	walked, searched := 0, 0
	for range 3000 {
		r := randomRate(rng)
		service := time.Duration(math.Exp(9*rng.Float64()-4) * 1e9)
		price := time.Duration(math.Exp(22*rng.Float64()-2) * 1e9) // up to 15 years
		n := r.Servers(service, price)
		if worth := r.lost(service, n) * price.Seconds(); worth > 1+1e-9 {
			t.Fatalf("%+v: Servers(%v, %v) = %d, but one more is worth %v", r, service, price, n, worth)
		}
		if n > 0 {
			if worth := r.lost(service, n-1) * price.Seconds(); worth <= 1-1e-9 {
				t.Fatalf("%+v: Servers(%v, %v) = %d, but the last is worth only %v", r, service, price, n, worth)
			}
		}
		if (n == 0) != (r.Mean()*price.Seconds() <= 1) {
			t.Fatalf("%+v: Servers(%v, %v) = %d at rate x price = %v", r, service, price, n, r.Mean()*price.Seconds())
		}
		if n >= maxWalk {
			searched++
		} else if n > 1 {
			walked++
		}
	}
	if walked < 500 || searched < 200 {
		t.Errorf("%d walked, %d searched: the draw misses one of the ways", walked, searched)
	}
}

// At a price of centuries the answer lies where 1 - CDF has no digits left.
func TestServersFarInTheTail(t *testing.T) {
	const price = time.Duration(math.MaxInt64)
	for service := time.Microsecond; service > 0; service /= 10 {
		rate := 1 / service.Seconds()
		n := Known(rate).Servers(service, price)
		last, next := dist.Poisson{Mean: 1}.Tail(n-1), dist.Poisson{Mean: 1}.Tail(n)
		if threshold := 1 / (rate * price.Seconds()); last <= threshold || next > threshold {
			t.Errorf("Servers at %v/s = %d, where the tail goes from %v to %v; want it to pass %v", rate, n, last, next, threshold)
		}
	}
}

func TestServersIsMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	for range 500 {
		r := randomRate(rng)
		service := time.Duration(math.Exp(6*rng.Float64()-4) * 1e9)
		price := time.Duration(math.Exp(9*rng.Float64()-2) * 1e9)
		factor := 1 + rng.ExpFloat64()
		n := r.Servers(service, price)
		if dearer := r.Servers(service, time.Duration(factor*float64(price))); dearer < n {
			t.Errorf("%+v: %d servers at price %v, but %d at %v times that", r, n, price, dearer, factor)
		}
		faster := r
		for i := range faster.parts {
			faster.parts[i].mean *= factor
		}
		if more := faster.Servers(service, price); more < n {
			t.Errorf("%+v: %d servers, but %d at %v times the rate", r, n, more, factor)
		}
		if slower := r.Servers(time.Duration(factor*float64(service)), price); slower < n {
			t.Errorf("%+v: %d servers, but %d at %v times the service", r, n, slower, factor)
		}
	}
}

// Absurd rates must neither hang nor overflow.
func TestServersOfAnything(t *testing.T) {
	for _, r := range []Rate{Known(1e30), Uncertain(1e30, 1e-12), Uncertain(1e30, 1e-300), Uncertain(1e15, 1e15), Uncertain(1e-30, 1e-30), Known(math.Inf(1))} {
		if v := r.Variance(); !(v >= 0) || math.IsInf(v, 1) {
			t.Errorf("%+v: Variance = %v", r, v)
		}
		for _, service := range []time.Duration{0, 1, time.Second, math.MaxInt64} {
			for _, price := range []time.Duration{0, 1, time.Minute, math.MaxInt64} {
				if n := r.Servers(service, price); n < 0 || n > dist.MaxCount {
					t.Errorf("%+v: Servers(%v, %v) = %d", r, service, price, n)
				}
			}
		}
	}
}
