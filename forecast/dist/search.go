package dist

import "math"

// MaxCount is the largest count that any search returns: beyond it float64 no
// longer tells neighbours apart.
const MaxCount = 1 << 53

// Least is the smallest k >= 0 for which ok holds, or MaxCount when none is. ok
// must be monotone: once true, true for every larger k. The search starts at
// guess and doubles its stride from step (at least 1), so that a good guess costs
// a few calls and a bad one a few dozen.
func Least(guess, step int, ok func(k int) bool) int {
	lo, hi := -1, max(0, min(guess, MaxCount)) // ok is false at lo, true at hi
	step = max(1, step)
	if ok(hi) {
		for hi > 0 {
			k := max(0, hi-step)
			if !ok(k) {
				lo = k
				break
			}
			hi, step = k, 2*step
		}
	} else {
		for lo = hi; ; lo, step = hi, 2*step {
			if lo >= MaxCount {
				return MaxCount
			}
			if hi = min(lo+step, MaxCount); ok(hi) {
				break
			}
		}
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; ok(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// quantile searches the smallest k with cdf(k) >= q from mean and deviation.
func quantile(q, mean, dev float64, cdf func(k int) float64) int {
	switch {
	case math.IsNaN(q) || q <= 0:
		return 0
	case q >= 1:
		return MaxCount
	}
	// A hair less than q, as R does, so that Quantile(CDF(k)) is k and not k+1.
	q *= 1 - 64*0x1p-52
	guess := mean + dev*math.Sqrt2*math.Erfinv(2*q-1)
	return Least(clampCount(guess), clampCount(dev/8), func(k int) bool { return cdf(k) >= q })
}

// clampCount turns x into a count within [0, MaxCount].
func clampCount(x float64) int {
	if !(x > 0) {
		return 0
	}
	return int(min(x, MaxCount))
}
