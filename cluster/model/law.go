package model

import (
	"math"
	"math/rand/v2"
	"time"
)

// Law draws how long something takes.
type Law func(*rand.Rand) time.Duration

// Fixed always takes d.
func Fixed(d time.Duration) Law { return func(*rand.Rand) time.Duration { return d } }

// Uniform takes anything from lo to hi.
func Uniform(lo, hi time.Duration) Law {
	return func(r *rand.Rand) time.Duration { return lo + time.Duration(r.Float64()*float64(hi-lo)) }
}

// Lognormal has the given median and the standard deviation sigma of its logarithm: with 0.3, two thirds are
// within a factor of 1.35 of the median.
func Lognormal(median time.Duration, sigma float64) Law {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
	}
}
