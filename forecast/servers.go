package forecast

import (
	"math"
	"time"
)

// Servers is the number of containers worth holding at this rate: the smallest N
// for which one container more would save less than it costs.
//
// Service is the mean time a request keeps a container busy; price is what one
// cold start is worth, in the time that a container may idle for it. By PASTA an
// arrival finds all N busy with probability P(occupancy >= N), so the next
// container saves rate x P(occupancy >= N) cold starts a second, worth price each,
// and costs one container-second a second:
//
//	N = min{ n >= 0 : E[rate 1{occupancy >= n}] price <= 1 }
//
// This is the newsvendor's rule in continuous time. Under doubt the expectation
// is taken over rate and occupancy together, since both are large at once. For a
// gamma rate it has a closed form: weighting the density of gamma(shape, mean) by
// the rate gives mean times that of gamma(shape+1, mean (shape+1)/shape), so that
// it is mean x P(negative binomial of that rate >= n). Multiplying the mean rate
// with the plain tail instead would hold too few, most of all where little is known.
//
// N is 0 exactly if Mean x price <= 1, and never falls as rate or price grow.
func (r Rate) Servers(service, price time.Duration) int {
	worth := max(0, price.Seconds())
	if !(r.Mean()*worth > 1) {
		return 0
	}
	n := maxWalk
	if r.Mean()*worth < 1e9 { // beyond, rounding in the walked tails (1e-15) would tell
		n = r.walkServers(service, worth)
	}
	if n < maxWalk {
		return n
	}
	return max(1, r.search(service, func(k int) bool { return r.lost(service, k)*worth <= 1 }))
}

// maxWalk is the number of containers from which Servers bisects over exact tails
// (microseconds each) instead of walking up the probabilities (nanoseconds each).
const maxWalk = 256

// lost is E[rate 1{occupancy >= k}]: cold starts/s that k containers leave.
func (r Rate) lost(service time.Duration, k int) float64 {
	var sum float64
	for _, p := range r.parts[:r.n] {
		sum += p.weight * p.mean * p.seen().occupancy(service).Tail(k)
	}
	return sum
}

// seen is the part as an arrival meets it: biased towards the larger rates.
func (p part) seen() part {
	if p.shape > 0 {
		p.mean *= (p.shape + 1) / p.shape
		p.shape++
	}
	return p
}

// walkServers looks for the answer of Servers among 1 to maxWalk-1, and returns
// maxWalk where it is not.
func (r Rate) walkServers(service time.Duration, worth float64) int {
	var walks [maxParts]walk
	for i, p := range r.parts[:r.n] {
		walks[i] = newWalk(p, service.Seconds())
	}
	for n := 1; n < maxWalk; n++ {
		var lost float64
		for i := range walks[:r.n] {
			lost += walks[i].next(n)
		}
		if lost*worth <= 1 {
			return n
		}
	}
	return maxWalk
}

// walk steps through the occupancies that an arrival of one part may meet. Poisson
// and negative binomial share the form P(k+1)/P(k) = (c + k q)/(k+1). P(0) may
// underflow: then P(occupancy < maxWalk) is below 1e-70 and rightly taken for 0.
type walk struct {
	weight float64 // arrivals/s of this part, times its weight
	prob   float64 // P(occupancy = k)
	tail   float64 // P(occupancy >= k)
	c, q   float64
}

func newWalk(p part, service float64) walk {
	w := walk{weight: p.weight * p.mean, tail: 1}
	load := p.seen().mean * max(0, service)
	if p.shape == 0 {
		w.c, w.prob = load, math.Exp(-load)
		return w
	}
	shape := p.shape + 1
	w.q = load / (shape + load)
	w.c = shape * w.q
	w.prob = math.Exp(-shape * math.Log1p(load/shape))
	return w
}

// next moves from P(occupancy >= n-1) to P(occupancy >= n), n = 1, 2, ..., and
// returns the arrivals/s that meet n or more.
func (w *walk) next(n int) float64 {
	w.tail -= w.prob
	w.prob *= (w.c + float64(n-1)*w.q) / float64(n)
	return w.weight * w.tail
}
