package dist

import "math"

// regIncBeta is the regularised incomplete beta function I_x(a, b) for a, b > 0
// and x + y = 1.
//
// gonum's mathext.RegIncBeta is not used: it stops after 300 terms, which costs
// up to 1e-4 for shapes near zero with means of thousands, and starts from a
// difference of log-gammas, which costs 1e-10 for shapes of 1e5.
func regIncBeta(a, b, x, y float64) float64 {
	switch {
	case x <= 0:
		return 0
	case y <= 0:
		return 1
	case a*y < b*x: // beyond the mean the fraction converges slowly; its mirror image does not
		return 1 - regIncBeta(b, a, y, x)
	}
	// x^a y^b / B(a,b), by way of the binomial: B(a,b) = (a+b)/(ab) / binomial.
	front := math.Exp(logBinomial(a, b, x, y)) * b * (a / (a + b))
	return min(1, front/betaFraction(a, b, x, y))
}

// maxFraction bounds betaFraction, which needs some sqrt(max(a,b)) terms; NegBin
// asks for nothing beyond exactLimit, for which this is plenty.
const maxFraction = 100_000

// betaFraction is the continued fraction that x^a y^b / B(a,b) is divided by to
// give I_x(a, b): the even part of DLMF 8.17.22 as Didonato and Morris (1992,
// TOMS 708) write it, by the modified Lentz method. Its terms hold a y - b x and
// not 1 - (a+b)/(a+1) x, which has no digits left for a shape of 1e13.
func betaFraction(a, b, x, y float64) float64 {
	const eps = 1e-15
	off := a*y - b*x + 1
	h := nonzero(a * off / (a + 1))
	c, d := h, 0.0
	for m := 1.0; m < maxFraction; m++ {
		s := a + 2*m - 1
		w := m * (b - m) * x / s
		num := w * x * ((a + m - 1) / s) * (a + b + m - 1)
		den := m + w + (a+m)/(s+2)*(off+m*(1+y))
		d = 1 / nonzero(den+num*d)
		c = nonzero(den + num/c)
		h *= c * d
		if math.Abs(c*d-1) < eps {
			break
		}
	}
	return h
}

// nonzero is x, or next to zero where x is so close to it that 1/x overflows.
func nonzero(x float64) float64 {
	if math.Abs(x) < 1e-300 {
		return 1e-300
	}
	return x
}
