package forecast

import (
	"fmt"
	"math"
	"time"

	"github.com/forewarm/forewarm/forecast/dist"
)

// PoissonGamma is a filter for Poisson arrivals whose rate drifts. It forgets like
// an EWMA, but knows how much it knows: the rate is gamma-distributed, with a shape
// that is the number of arrivals remembered and an exposure that is the time
// remembered.
//
// This is the discounted conjugate filter of Smith (1979, "A generalization of the
// Bayesian steady forecasting model") and of Harvey and Fernandes (1989), with a
// weak pull towards a prior, so that long silence ends in a slow rate and not in
// none. Time is continuous: what comes within a span fades within it as well,
// which makes a silent span exactly its parts and the mean a ratio of equally
// faded arrivals and seconds, hence free of bias for rounds of any length.
type PoissonGamma struct {
	p fading
	g gamma
}

// PoissonGammaOptions tunes a PoissonGamma. The zero value is ready to use.
type PoissonGammaOptions struct {
	Tau time.Duration // time in which the past fades to 1/e, > 0. Default 60s.

	Prior Prior
}

// Prior is what a Poisson-gamma filter takes for granted.
type Prior struct {
	// Where it starts: as if StartCount calls had been seen in StartTime.
	// Both > 0, or both 0 for the default of 0.5 calls in 60s.
	StartCount float64
	StartTime  time.Duration

	// Where silence leads it: as if PullCount calls in PullTime were always
	// remembered. Both > 0, or both 0 for the default of 0.02 calls in 2s. Busy
	// functions are held back by it too: by PullTime/(tau+PullTime) of their rate,
	// which is a sixth for a tau of 10s and 3 % for one of a minute.
	PullCount float64
	PullTime  time.Duration
	NoPull    bool // let silence lead nowhere but to an ever slower rate, known ever less
}

// NewPoissonGamma returns a filter at the start of its prior, or an error for
// options out of range.
func NewPoissonGamma(opts PoissonGammaOptions) (*PoissonGamma, error) {
	tau, err := timeConstant("PoissonGamma tau", opts.Tau, 60*time.Second)
	if err != nil {
		return nil, err
	}
	start, pull, err := opts.Prior.gammas()
	if err != nil {
		return nil, err
	}
	return &PoissonGamma{p: fading{tau: tau, pull: pull}, g: start}, nil
}

// gammas checks the prior and fills in its defaults.
func (p Prior) gammas() (start, pull gamma, err error) {
	if start, err = priorGamma("start", p.StartCount, p.StartTime, gamma{0.5, 60}); err != nil {
		return start, pull, err
	}
	if p.NoPull {
		return start, gamma{}, nil
	}
	pull, err = priorGamma("pull", p.PullCount, p.PullTime, gamma{0.02, 2})
	return start, pull, err
}

func priorGamma(what string, n float64, t time.Duration, def gamma) (gamma, error) {
	if n == 0 && t == 0 {
		return def, nil
	}
	if !(n > 0) || n > maxRate || t <= 0 {
		return gamma{}, fmt.Errorf("forecast: prior %s of %v calls in %v: both must be positive", what, n, t)
	}
	return gamma{n, t.Seconds()}, nil
}

// Observe implements Model.
func (f *PoissonGamma) Observe(n int, span time.Duration) {
	f.g = f.p.advance(f.g, count(n), max(0, span.Seconds()))
}

// Forecast implements Model: flat, at the rate remembered.
func (f *PoissonGamma) Forecast(time.Duration) Rate { return Uncertain(f.g.rate(), f.g.shape) }

// Predict is the law of the number of arrivals in the next span (>= 0). The filter
// is faded by the span before it speaks, as it will be when the count is in.
func (f *PoissonGamma) Predict(span time.Duration) dist.NegBin {
	s := max(0, span.Seconds())
	kept, _ := decay(s, f.p.tau)
	return f.g.faded(kept, f.p.pull).predict(s)
}

// AppendBinary appends the state to b. It implements encoding.BinaryAppender.
func (f *PoissonGamma) AppendBinary(b []byte) ([]byte, error) {
	return appendState(b, stateGamma, f.g.shape, f.g.exposure), nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (f *PoissonGamma) MarshalBinary() ([]byte, error) { return f.AppendBinary(nil) }

// UnmarshalBinary loads a state into a model made by NewPoissonGamma, which keeps
// its options. On an error, which wraps ErrState, the model is unchanged.
func (f *PoissonGamma) UnmarshalBinary(b []byte) error {
	var v [2]float64
	if err := readState(b, stateGamma, v[:]); err != nil {
		return err
	}
	g := gamma{v[0], v[1]}
	if err := checkState(g.valid(), "shape or exposure out of range"); err != nil {
		return err
	}
	f.g = g
	return nil
}

// gamma is a gamma-distributed rate: shape arrivals remembered in exposure seconds.
type gamma struct {
	shape    float64
	exposure float64
}

func (g gamma) rate() float64 { return g.shape / g.exposure }

func (g gamma) valid() bool {
	return g.shape >= 0 && g.exposure > 1e-9 && g.rate() <= maxRate // 1e-9: a nanosecond
}

// faded keeps that much of what g differs from pull, in [0,1]. The zero pull
// discounts towards nothing.
func (g gamma) faded(kept float64, pull gamma) gamma {
	return gamma{
		pull.shape + (g.shape-pull.shape)*kept,
		pull.exposure + (g.exposure-pull.exposure)*kept,
	}
}

// seen adds n arrivals in s seconds.
func (g gamma) seen(n, s float64) gamma { return gamma{g.shape + n, g.exposure + s} }

// predict is the law of the number of arrivals in s seconds: negative binomial with
// size shape and probability exposure/(exposure+s).
func (g gamma) predict(s float64) dist.NegBin {
	return dist.NegBin{Mean: g.rate() * s, Shape: g.shape}
}

// fading is how a gamma forgets.
type fading struct {
	tau  float64 // time constant, s
	pull gamma
}

// advance fades g by s seconds, in which n arrivals are seen.
func (p fading) advance(g gamma, n, s float64) gamma {
	kept, gone := decay(s, p.tau)
	passed, each := p.passed(s, gone)
	return g.faded(kept, p.pull).seen(n*each, passed)
}

// passed is what is remembered, at the end of a span of s seconds, of its own
// seconds and of each arrival in it. Seen evenly over the span, both are on average
// faded to (1-d) tau/s of themselves, d = e^(-s/tau): the integral of the decay.
func (p fading) passed(s, gone float64) (seconds, each float64) {
	if s == 0 {
		return 0, 1
	}
	return gone * p.tau, gone * p.tau / s
}

// silence lets s > 0 silent seconds go by. It returns the state after them, the
// seconds of them that are remembered, and loss = -ln P(no arrival).
//
// The chance of an arrival in dt is rate(t) dt, where both parts of the rate fade:
// shape(t) = A + (a-A) x and exposure(t) = B + (b-B) x, with x = e^(-t/tau), A the
// pull's shape and B the exposure that silence leads to, tau plus the pull's. By
// partial fractions, with dt = -tau dx/x, and end the exposure after s seconds,
//
//	loss = integral of rate = (A/B) s + tau ((a-A) - (A/B)(b-B)) ln(b/end) / (b-B)
//
// which adds up over the parts of a span and for tau -> infinity becomes the
// negative binomial's a ln((b+s)/b).
func (p fading) silence(g gamma, s float64) (end gamma, seconds, loss float64) {
	kept, gone := decay(s, p.tau)
	seconds, _ = p.passed(s, gone)
	end = g.faded(kept, p.pull).seen(0, seconds)

	full := p.tau + p.pull.exposure
	base := p.pull.shape / full
	over := g.exposure - full
	// ln(b/end)/(b-B) = ln(1+u)/u * gone/end, also where b = B and u = 0.
	u := over * gone / end.exposure
	ratio := 1 - u/2
	if math.Abs(u) > 1e-8 {
		ratio = math.Log1p(u) / u
	}
	loss = base*s + p.tau*(g.shape-p.pull.shape-base*over)*ratio*gone/end.exposure
	return end, seconds, loss
}
