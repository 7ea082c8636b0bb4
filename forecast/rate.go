package forecast

import (
	"math"
	"time"

	"github.com/forewarm/forewarm/forecast/dist"
	"gonum.org/v1/gonum/mathext"
)

// maxParts is how many gamma distributions a Rate can be mixed from.
const maxParts = 4

// Rate is what is known of an arrival rate in requests/s: a mixture of up to four
// gamma distributions, each with a weight. It is a plain value; the zero Rate is a
// rate of zero.
type Rate struct {
	n     int
	parts [maxParts]part
}

// part is one gamma distribution of a Rate.
type part struct {
	weight float64 // weights of a Rate sum to 1
	mean   float64 // requests/s, >= 0 and finite
	shape  float64 // of the gamma distribution; 0 means that the rate is the mean for certain
}

// Known is a rate of mean requests/s without any doubt. A mean below 0 or NaN
// counts as 0, one above 1e30 as that.
func Known(mean float64) Rate { return Uncertain(mean, math.Inf(1)) }

// Uncertain is a gamma-distributed rate: mean in requests/s, and a shape which
// may be read as the number of arrivals that the estimate rests on. A shape of 0
// or +Inf means a known rate.
func Uncertain(mean, shape float64) Rate {
	var r Rate
	r.add(1, mean, shape)
	return r
}

// Bounds far from anything that is observed, so that no sum or ratio of a Rate
// overflows or drowns in denormals: means below minRate count as 0, means above
// maxRate and shapes below minShape as these.
const (
	minRate  = 1e-30 // requests/s
	maxRate  = 1e30  // requests/s
	minShape = 1e-12
)

// add appends a part; the caller sees to it that the weights sum to 1.
func (r *Rate) add(weight, mean, shape float64) {
	if !(mean > minRate) {
		mean = 0
	}
	if !(shape > 0) || math.IsInf(shape, 1) {
		shape = 0
	} else {
		shape = max(shape, minShape)
	}
	r.parts[r.n] = part{weight, min(mean, maxRate), shape}
	r.n++
}

// Mean is the expected rate in requests/s.
func (r Rate) Mean() float64 {
	var sum float64
	for _, p := range r.parts[:r.n] {
		sum += p.weight * p.mean
	}
	return sum
}

// Variance is the variance of the rate in (requests/s)^2: the doubt about the
// rate alone, without the chance in when requests come.
func (r Rate) Variance() float64 {
	mean := r.Mean()
	var sum float64
	for _, p := range r.parts[:r.n] {
		off := p.mean - mean
		sum += p.weight * off * off
		if p.shape > 0 {
			sum += p.weight * p.mean * p.mean / p.shape
		}
	}
	return sum
}

// CDF is the probability that the rate is x requests/s or less.
func (r Rate) CDF(x float64) float64 {
	if r.n == 0 && x >= 0 {
		return 1
	}
	var sum float64
	for _, p := range r.parts[:r.n] {
		sum += p.weight * p.cdf(x)
	}
	return min(1, sum)
}

func (p part) cdf(x float64) float64 {
	switch {
	case x < 0:
		return 0
	case p.shape == 0 || p.mean == 0:
		if x < p.mean {
			return 0
		}
		return 1
	}
	return mathext.GammaIncReg(p.shape, p.shape*x/p.mean)
}

// Quantile is the rate in requests/s that is not exceeded with probability q, to
// nine digits: 0 for q <= 0, and for q >= 1 a rate that is exceeded with a
// probability below 1e-12. It takes some tens of microseconds and is meant for
// display.
func (r Rate) Quantile(q float64) float64 {
	mean := r.Mean()
	if !(q > 0) || mean == 0 {
		return 0
	}
	q = min(q, 1-1e-12)
	lo, hi := 0.0, mean
	for hi < 1e6*maxRate && r.CDF(hi) < q {
		lo, hi = hi, 2*hi
	}
	for hi-lo > 1e-10*hi && hi > 1e-15*mean {
		if mid := lo + (hi-lo)/2; r.CDF(mid) < q {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// OccupancyTail is the probability that k or more requests are in service at one
// time when each takes service on average.
//
// Unlimited containers make this an M/G/infinity system: for a known rate the
// occupancy is Poisson with mean rate x service, whatever the law of the service
// time (Little; Eick, Massey and Whitt 1993), for a gamma-distributed rate hence
// negative binomial, for a mixture the weighted sum. The arrivals within a window
// follow the same law: pass the length of the window as service.
func (r Rate) OccupancyTail(service time.Duration, k int) float64 {
	if k <= 0 {
		return 1
	}
	var sum float64
	for _, p := range r.parts[:r.n] {
		sum += p.weight * p.occupancy(service).Tail(k)
	}
	return min(1, sum)
}

// OccupancyQuantile is the least number of containers that suffices with
// probability q: the smallest k with P(occupancy <= k) >= q. A q of 0 or less
// gives 0, one of 1 or more dist.MaxCount.
func (r Rate) OccupancyQuantile(service time.Duration, q float64) int {
	switch {
	case !(q > 0):
		return 0
	case q >= 1:
		return dist.MaxCount
	}
	return r.search(service, func(k int) bool { return r.OccupancyTail(service, k+1) <= 1-q })
}

// occupancy is the number in service at one time.
func (p part) occupancy(service time.Duration) dist.NegBin {
	return dist.NegBin{Mean: p.mean * max(0, service.Seconds()), Shape: p.shape}
}

// search finds the smallest k for which ok holds, from three deviations above the
// mean occupancy on: a start that suits the tails which prices of cold starts ask for.
func (r Rate) search(service time.Duration, ok func(k int) bool) int {
	s := max(0, service.Seconds())
	mean := r.Mean() * s
	dev := math.Sqrt(mean + r.Variance()*s*s)
	guess := min(mean+3*dev, dist.MaxCount)
	return dist.Least(int(guess), int(min(dev/4, guess)), ok)
}
