package forecast

import "time"

// Model is a rate model. EWMA, Holt, PoissonGamma and PGMix are the ones here;
// each can also save and load its state (encoding.BinaryMarshaler,
// BinaryAppender and BinaryUnmarshaler).
type Model interface {
	// Observe tells of n arrivals in the span since the last call. They count as
	// spread evenly over it; when they are known to have come at its end, say
	// Observe(0, span) and then Observe(n, 0). A negative n or span counts as 0.
	Observe(n int, span time.Duration)

	// Forecast is the rate expected at horizon after the last observation. Only
	// Holt makes use of the horizon; the others take the present rate to last.
	Forecast(horizon time.Duration) Rate
}

// count is n as a number of arrivals.
func count(n int) float64 { return float64(max(0, n)) }
