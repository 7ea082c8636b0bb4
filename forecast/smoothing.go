package forecast

import "math"

// smoothing are the parameters of exponential smoothing with an additive damped
// trend, in the error-correction form of Hyndman, Koehler, Ord and Snyder (2008),
// "Forecasting with Exponential Smoothing", table 2.2:
//
//	forecast  q = l + phi b
//	error     e = y - q
//	level     l <- q + alpha e
//	trend     b <- phi b + beta e
//
// Here beta is that book's alpha beta*. phi = 1 gives Holt's linear trend, and
// beta = 0 with b = 0 simple exponential smoothing.
type smoothing struct {
	alpha, beta, phi float64
}

// trend is the state of a smoothing: level, and trend per step.
type trend struct {
	level, slope float64
}

// next takes in one value y of a regular series.
func (p smoothing) next(t trend, y float64) trend {
	q := p.ahead(t, 1)
	e := y - q
	return trend{q + p.alpha*e, p.phi*t.slope + p.beta*e}
}

// ahead is the forecast for h >= 0 steps ahead, l + (phi + phi^2 + ... + phi^h) b;
// h need not be whole.
func (p smoothing) ahead(t trend, h float64) float64 {
	switch {
	case p.phi == 1:
		return t.level + h*t.slope
	case h == 1: // no rounding by way of Pow: this one is in next
		return t.level + p.phi*t.slope
	default:
		return t.level + p.phi*(1-math.Pow(p.phi, h))/(1-p.phi)*t.slope
	}
}

// jump is next(t, y) applied n times for the same y, in O(log n).
//
// The level y with no trend is a fixed point of next, and around it next is the
// linear map M below: so t_n = fixed + M^n (t - fixed), with M^n by repeated squaring.
func (p smoothing) jump(t trend, y float64, n int64) trend {
	if n == 1 {
		return p.next(t, y)
	}
	m := matrix{
		1 - p.alpha, p.phi * (1 - p.alpha),
		-p.beta, p.phi * (1 - p.beta),
	}
	off := trend{t.level - y, t.slope}
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			off = m.apply(off)
		}
		m = m.squared()
	}
	return trend{y + off.level, off.slope}
}

// matrix is 2 x 2: {a, b} above {c, d}.
type matrix struct{ a, b, c, d float64 }

func (m matrix) apply(t trend) trend {
	return trend{m.a*t.level + m.b*t.slope, m.c*t.level + m.d*t.slope}
}

func (m matrix) squared() matrix {
	bc, tr := m.b*m.c, m.a+m.d
	return matrix{m.a*m.a + bc, m.b * tr, m.c * tr, m.d*m.d + bc}
}
