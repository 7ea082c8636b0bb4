package forecast

import (
	"fmt"
	"math"
	"time"
)

// decay is how much of a memory with time constant tau (s) is left after span (s),
// kept = e^(-span/tau), and how much has gone, 1 - kept. Both keep all their
// digits, whichever is small.
func decay(span, tau float64) (kept, gone float64) {
	x := span / tau
	if x > 0.5 {
		kept = math.Exp(-x)
		return kept, 1 - kept
	}
	gone = -math.Expm1(-x)
	return 1 - gone, gone
}

// timeConstant gives the option named what in seconds: def where it is 0, an error
// where it is negative.
func timeConstant(what string, value, def time.Duration) (float64, error) {
	if value < 0 {
		return 0, fmt.Errorf("forecast: %s %v is negative", what, value)
	}
	if value == 0 {
		value = def
	}
	return value.Seconds(), nil
}
