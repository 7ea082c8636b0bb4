package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Poisson counts events that come independently of one another.
type Poisson struct {
	Mean float64 // expected count, >= 0
}

// LogProb is the natural logarithm of P(X = k); -Inf where that is zero.
func (p Poisson) LogProb(k int) float64 {
	switch x := float64(k); {
	case k < 0 || p.Mean <= 0 && k > 0:
		return math.Inf(-1)
	case k == 0:
		return -max(0, p.Mean)
	default:
		return -stirlingError(x) - deviance(x, p.Mean) - halfLog2Pi - 0.5*math.Log(x)
	}
}

// CDF is P(X <= k).
func (p Poisson) CDF(k int) float64 {
	switch {
	case k < 0:
		return 0
	case p.Mean <= 0:
		return 1
	}
	return mathext.GammaIncRegComp(float64(k)+1, p.Mean)
}

// Tail is P(X >= k); note that it counts k itself, unlike a survival function.
func (p Poisson) Tail(k int) float64 {
	switch {
	case k <= 0:
		return 1
	case p.Mean <= 0:
		return 0
	}
	return mathext.GammaIncReg(float64(k), p.Mean)
}

// Quantile is the smallest k with P(X <= k) >= q: 0 for q <= 0 and MaxCount for
// q >= 1.
func (p Poisson) Quantile(q float64) int {
	return quantile(q, p.Mean, math.Sqrt(p.Mean), p.CDF)
}
