package model

// waterfill divides capacity among demands so that none gets more than it asks for, and none that is left short
// gets less than another. The shares go into out, which is as long as demands.
func waterfill(capacity float64, demands, out []float64) {
	sum := 0.0
	for i, d := range demands {
		out[i] = d
		sum += d
	}
	if sum <= capacity {
		return
	}
	left, open := capacity, len(demands)
	for i := range out {
		out[i] = -1 // not settled
	}
	for open > 0 {
		level, settled := left/float64(open), 0
		for i, d := range demands {
			if out[i] < 0 && d <= level {
				out[i] = d
				left -= d
				settled++
			}
		}
		if open -= settled; settled > 0 {
			continue
		}
		for i := range out {
			if out[i] < 0 {
				out[i] = level
			}
		}
		return
	}
}
