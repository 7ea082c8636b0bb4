package sim

import (
	"math"
	"math/rand/v2"
)

// span is a quantity of which the least, the mean and the greatest are known.
type span struct{ Min, Mean, Max float64 }

// draw takes a value between Min and Max with the given mean.
//
// The law is a power of a uniform number, which is a scaled beta(1/p, 1): Min + (Max-Min)*U^p has its mean at
// 1/(1+p) of the way. A mean in the upper half is drawn from the other end. So values crowd at the end that the
// mean is near, and the far end is reached now and then: a period that is sometimes cut short, a quick call
// that sometimes takes long.
func (s span) draw(r *rand.Rand) float64 {
	width := s.Max - s.Min
	if width <= 0 {
		return s.Min
	}
	at := min(max((s.Mean-s.Min)/width, 1e-3), 1-1e-3)
	if at > .5 {
		return s.Max - width*math.Pow(r.Float64(), at/(1-at))
	}
	return s.Min + width*math.Pow(r.Float64(), (1-at)/at)
}

// count is draw for whole numbers: rounded up or down at random, so that the mean stays.
func (s span) count(r *rand.Rand) int {
	v := s.draw(r)
	n := math.Floor(v)
	if r.Float64() < v-n {
		n++
	}
	return int(n)
}
