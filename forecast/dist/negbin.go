package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// NegBin counts events whose rate is itself gamma-distributed: the smaller the
// shape, the less is known of the rate. R calls the fields mu and size.
type NegBin struct {
	Mean  float64 // expected count, >= 0
	Shape float64 // > 0, any real number; 0 and +Inf mean a known rate, that is a Poisson
}

// exactLimit is where the exact tail (up to sqrt(exactLimit) terms of a continued
// fraction) gives way to a gamma distribution of the same mean and variance. Past
// ten million one count more or less no longer matters to anybody: the tails
// differ by less than 1 % there, one step of a quantile by less than 1e-5 of it.
const exactLimit = 1e7

func (n NegBin) poisson() bool { return n.Shape <= 0 || math.IsInf(n.Shape, 1) }

// zero reports that all counts but 0 have no probability worth a float64: P(X > 0)
// is about shape ln(mean/shape) for tiny shapes.
func (n NegBin) zero() bool { return n.Mean <= 0 || n.Shape < 1e-290 }

// limit is the Poisson that n degenerates to when it is one of the two above.
func (n NegBin) limit() Poisson {
	if n.poisson() {
		return Poisson{n.Mean}
	}
	return Poisson{}
}

// LogProb is the natural logarithm of P(X = k); -Inf where that is zero.
func (n NegBin) LogProb(k int) float64 {
	switch x := float64(k); {
	case n.poisson() || n.zero():
		return n.limit().LogProb(k)
	case k < 0:
		return math.Inf(-1)
	case k == 0:
		return -n.Shape * math.Log1p(n.Mean/n.Shape)
	default:
		// P(X=k) = shape/(shape+k) times a binomial probability, as in R's dnbinom.
		p, q := n.odds()
		return math.Log(n.Shape/(n.Shape+x)) + logBinomial(n.Shape, x, p, q)
	}
}

// CDF is P(X <= k).
func (n NegBin) CDF(k int) float64 {
	switch x := float64(k) + 1; {
	case n.poisson() || n.zero():
		return n.limit().CDF(k)
	case k < 0:
		return 0
	case x+n.Mean > exactLimit:
		return mathext.GammaIncReg(n.gamma(x))
	default:
		p, q := n.odds()
		return regIncBeta(n.Shape, x, p, q)
	}
}

// Tail is P(X >= k); note that it counts k itself, unlike a survival function.
func (n NegBin) Tail(k int) float64 {
	switch x := float64(k); {
	case n.poisson() || n.zero():
		return n.limit().Tail(k)
	case k <= 0:
		return 1
	case x+n.Mean > exactLimit:
		return mathext.GammaIncRegComp(n.gamma(x))
	default:
		p, q := n.odds()
		return regIncBeta(x, n.Shape, q, p)
	}
}

// Quantile is the smallest k with P(X <= k) >= q: 0 for q <= 0 and MaxCount for
// q >= 1.
func (n NegBin) Quantile(q float64) int {
	if n.poisson() || n.zero() {
		return n.limit().Quantile(q)
	}
	return quantile(q, n.Mean, math.Sqrt(n.Mean+n.Mean*n.Mean/n.Shape), n.CDF)
}

// odds are the success probability p = shape/(shape+mean) and q = 1-p.
func (n NegBin) odds() (p, q float64) {
	s := n.Shape + n.Mean
	return n.Shape / s, n.Mean / s
}

// gamma gives shape and point of the gamma distribution that stands in for counts
// of x and more, with the continuity correction.
func (n NegBin) gamma(x float64) (shape, point float64) {
	shape = n.Mean / (n.Mean/n.Shape + 1)
	return shape, shape * (x - 0.5) / n.Mean
}
