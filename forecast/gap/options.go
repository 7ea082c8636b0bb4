package gap

import (
	"fmt"
	"time"
)

// Options tunes laws. The zero value is ready to use.
type Options struct {
	// Rho is the weight that a bin's memory keeps when one more gap reaches the bin, in (0,1).
	// Default 0.99: a memory of 100 gaps, however long they take.
	Rho float64
	// PriorWeight is how many gaps the prior counts for, > 0. Default 2. It shrinks where gaps turn out to be
	// regular (see Law.Solve).
	PriorWeight float64
	// HalfLife is the time away from a function that halves the weight of what is known of it, > 0.
	// Default 7 days. Used by Levels.Restore only.
	HalfLife time.Duration
}

// Check reports the first field that is out of range.
func (o Options) Check() error {
	if o.Rho < 0 || o.Rho >= 1 || o.Rho != o.Rho {
		return fmt.Errorf("gap: rho %v is outside (0,1)", o.Rho)
	}
	if o.PriorWeight < 0 || o.PriorWeight > 1e6 || o.PriorWeight != o.PriorWeight {
		return fmt.Errorf("gap: prior weight %v is outside (0,1e6]", o.PriorWeight)
	}
	if o.HalfLife < 0 {
		return fmt.Errorf("gap: half-life %v is negative", o.HalfLife)
	}
	return nil
}

func (o Options) rho() float32 {
	if o.Rho == 0 {
		return 0.99
	}
	return float32(o.Rho)
}

func (o Options) priorWeight() float64 {
	if o.PriorWeight == 0 {
		return 2
	}
	return o.PriorWeight
}

func (o Options) halfLife() time.Duration {
	if o.HalfLife == 0 {
		return 7 * 24 * time.Hour
	}
	return o.HalfLife
}

// Price is what holding, starting and missing cost, in seconds of one idle container.
type Price struct {
	Kappa time.Duration // what a cold start is worth, besides the start itself; >= 0
	Start time.Duration // median time that a start takes, L; >= 0
	// Lead is how far ahead of an expected use to restart: the quantile Kappa/(Kappa+Start) of the time that a
	// start takes. Zero means Start.
	Lead time.Duration
	// Cascade is how many calls meet a cold level when one does (see Cascade). Zero means 1.
	Cascade float64
}

// miss is what it costs to be without a container when one is needed.
func (p Price) miss() time.Duration {
	u := p.Cascade
	if u == 0 {
		u = 1
	}
	m := (p.Kappa.Seconds() + p.Start.Seconds()) * u
	if !(m > 0) {
		return 0
	}
	if m >= lastEdge.Seconds()*priceCap {
		return lastEdge * priceCap
	}
	if u == 1 {
		return p.Kappa + p.Start // not rounded: the keep-alive of an unknown level is exactly this
	}
	return seconds(m)
}

// priceCap bounds the price of a miss, in units of the last edge: far above it everything is held anyway.
const priceCap = 1000

// restart is what it costs to start a container ahead of a use: it is paid for from the order on, whether it is
// still starting or already waits for the window to begin.
func (p Price) restart() time.Duration { return max(p.Start, p.Lead, 0) }

func (p Price) lead() time.Duration {
	if p.Lead == 0 {
		return max(p.Start, 0)
	}
	return max(p.Lead, 0)
}

// near reports whether two prices are within a share tol of one another.
func (p Price) near(q Price, tol float64) bool {
	return near(float64(p.Kappa), float64(q.Kappa), tol) && near(float64(p.Start), float64(q.Start), tol) &&
		near(float64(p.Lead), float64(q.Lead), tol) && near(p.Cascade, q.Cascade, tol)
}

func near(a, b, tol float64) bool { return max(a, b)-min(a, b) <= tol*max(a, b) }
