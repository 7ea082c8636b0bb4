package dist

import "math"

// The saddle-point form of Loader (2000), "Fast and accurate computation of
// binomial probabilities": a probability is a product of Stirling errors and of
// deviances, each of which is small, where the usual difference of log-gammas
// cancels most of its digits. R's dpois, dbinom and dnbinom do the same.

const halfLog2Pi = 0.918938533204672741780329736406 // ln(2 pi) / 2

// stirlingError is ln Gamma(x+1) less Stirling's formula for it,
// (x+1/2) ln x - x + ln(2 pi)/2, for x > 0.
func stirlingError(x float64) float64 {
	if x < 16 {
		lg, _ := math.Lgamma(x + 1)
		return lg - (x+0.5)*math.Log(x) + x - halfLog2Pi
	}
	// The series 1/(12x) - 1/(360x^3) + ...: at 16 the first term left out,
	// 1/(1188x^9), is 1e-14.
	const s0, s1, s2, s3 = 1.0 / 12, 1.0 / 360, 1.0 / 1260, 1.0 / 1680
	xx := x * x
	return (s0 - (s1-(s2-s3/xx)/xx)/xx) / x
}

// deviance is x ln(x/m) + m - x for x, m > 0: how far x lies from its mean m.
func deviance(x, m float64) float64 {
	if math.Abs(x-m) >= 0.1*(x+m) {
		return x*math.Log(x/m) + m - x
	}
	// With v = (x-m)/(x+m): x ln(x/m) = 2x atanh(v), summed as a series so that
	// the leading terms cancel on paper and not in floating point.
	v := (x - m) / (x + m)
	sum := (x - m) * v
	term := 2 * x * v
	for j := 3.0; j < 1000; j += 2 {
		term *= v * v
		next := sum + term/j
		if next == sum {
			break
		}
		sum = next
	}
	return sum
}

// logBinomial is ln of Gamma(a+b+1) / (Gamma(a+1) Gamma(b+1)) x^a y^b for
// a, b > 0 and x + y = 1; both x and y are given because 1-x may have lost y.
func logBinomial(a, b, x, y float64) float64 {
	n := a + b
	return stirlingError(n) - stirlingError(a) - stirlingError(b) -
		deviance(a, n*x) - deviance(b, n*y) -
		halfLog2Pi + 0.5*math.Log(n/a/b)
}
