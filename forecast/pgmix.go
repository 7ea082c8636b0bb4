package forecast

import (
	"fmt"
	"math"
	"time"
)

// mixed is the number of filters in a PGMix.
const mixed = 4

// PGMix runs four PoissonGamma filters with different memories over the same
// arrivals and weighs each by how well it has predicted them. No time constant
// suits both a burst and a call every ten minutes; the weights choose, per function
// and all the time.
//
// Weights follow Bayes' rule with a fixed share (Herbster and Warmuth 1998,
// "Tracking the best expert"): weight flows back to all filters alike, in
// proportion to time, so that none is ever lost and the mixture can turn to another
// within a few arrivals.
//
// The filters take a silent span exactly as its parts. The weights nearly do, as
// weighing and sharing go on at once and have no closed form together: the mean
// forecast after a silent minute in one call is within 0.5 % of that after 120
// calls, after an hour or more within 11 % (of a rate then down to a few calls an
// hour). TestPGMixSplit holds it to that.
type PGMix struct {
	taus  [mixed]float64 // s
	pull  gamma
	share float64 // of the weight, per s

	weight [mixed]float64 // sums to 1
	g      [mixed]gamma
}

// PGMixOptions tunes a PGMix. The zero value is ready to use.
type PGMixOptions struct {
	Taus  [mixed]time.Duration // memories of the filters, each >= 0. Default, where 0: 10s, 1m, 10m, 2h.
	Prior Prior                // of each filter
	Share float64              // weight shared out among all filters, per second, in (0,1). Default 0.002: 1e-3 per round of 0.5s.
}

// NewPGMix returns a mixture that has seen nothing, or an error for options out of
// range.
func NewPGMix(opts PGMixOptions) (*PGMix, error) {
	start, pull, err := opts.Prior.gammas()
	if err != nil {
		return nil, err
	}
	if opts.Share == 0 {
		opts.Share = 0.002
	}
	if !(opts.Share > 0 && opts.Share < 1) {
		return nil, fmt.Errorf("forecast: PGMix share %v is outside (0,1)", opts.Share)
	}
	m := &PGMix{pull: pull, share: opts.Share}
	for i, def := range [mixed]time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, 2 * time.Hour} {
		if m.taus[i], err = timeConstant("PGMix tau", opts.Taus[i], def); err != nil {
			return nil, err
		}
		m.weight[i], m.g[i] = 1.0/mixed, start
	}
	return m, nil
}

// The weights are exact where no rate moves within a step. Rates move most just
// after the last arrival, so a span longer than firstStep (s; rounds are shorter)
// is cut into steps that grow from there: some 30 for an hour, 50 for four days.
const (
	firstStep  = 1.0
	stepGrowth = 1.25
)

// Observe implements Model. It takes time logarithmic in the length of span.
func (m *PGMix) Observe(n int, span time.Duration) {
	if span <= 0 {
		m.arrive(count(n), [mixed]float64{1, 1, 1, 1})
		return
	}
	left := span.Seconds()
	rate := count(n) / left
	for step := firstStep; left > 0; step *= stepGrowth {
		if left < 1.5*step { // rather one step up to half too long than a tiny one after it
			step = left
		}
		kept := m.pass(step)
		m.arrive(rate*step, kept)
		left -= step
	}
}

// Forecast implements Model: flat, the four filters by their weights.
func (m *PGMix) Forecast(time.Duration) Rate {
	var r Rate
	for i, g := range m.g {
		r.add(m.weight[i], g.rate(), g.shape)
	}
	return r
}

// pass lets s > 0 silent seconds go by, and returns what every filter on average
// keeps of an arrival within them.
//
// Unnormalised weights obey v_i' = -rate_i v_i + share (V/4 - v_i), V their sum.
// With L_i the integral of rate_i over the span and V taken to decay as e^(-J t/s),
// J from the weights alone, the solution is
//
//	v_i <- v_i e^(-L_i-x) + (x/4) e^(-J) (1 - e^-c)/c,   x = share s, c = L_i + x - J
//
// Losses are taken relative to the least one, lest all of them underflow.
func (m *PGMix) pass(s float64) (kept [mixed]float64) {
	var loss [mixed]float64
	least := math.Inf(1)
	for i, g := range m.g {
		f := fading{m.taus[i], m.pull}
		var passed float64
		m.g[i], passed, loss[i] = f.silence(g, s)
		kept[i] = passed / s
		least = min(least, loss[i])
	}

	x := m.share * s
	var survive [mixed]float64
	var sum float64
	for i, w := range m.weight {
		survive[i] = w * math.Exp(least-loss[i])
		sum += survive[i]
	}
	j := -math.Log(sum)
	stay, back := math.Exp(-x), x/mixed*sum
	for i := range m.weight {
		m.weight[i] = survive[i]*stay + back*meanDecay(loss[i]-least+x-j)
	}
	m.normalise()
	return kept
}

// arrive takes in n arrivals, of which filter i remembers kept[i] each. Their
// likelihood is Gamma(shape+n)/Gamma(shape) / exposure^n but for a factor that is
// the same for all filters: together with that of the silence before them, the
// negative binomial.
func (m *PGMix) arrive(n float64, kept [mixed]float64) {
	if n == 0 {
		return
	}
	var score [mixed]float64
	best := math.Inf(-1)
	for i, g := range m.g {
		score[i] = logRising(g.shape, n) - n*math.Log(g.exposure)
		best = max(best, score[i])
		m.g[i] = g.seen(n*kept[i], 0)
	}
	for i := range m.weight {
		m.weight[i] *= math.Exp(score[i] - best)
	}
	m.normalise()
}

// minWeight is a weight that no filter falls below, so that their sum stays
// positive; far less than the share gives to each.
const minWeight = 1e-12

func (m *PGMix) normalise() {
	var sum float64
	for i, w := range m.weight {
		m.weight[i] = max(w, minWeight)
		sum += m.weight[i]
	}
	for i := range m.weight {
		m.weight[i] /= sum
	}
}

// meanDecay is (1 - e^-c)/c, the mean of e^-ct for t in [0,1].
func meanDecay(c float64) float64 {
	if math.Abs(c) < 1e-3 {
		return 1 - c*(1-c*(1-c/4)/3)/2 // the next term is c^4/120 < 1e-14
	}
	return -math.Expm1(-c) / c
}

// logRising is ln Gamma(a+n)/Gamma(a) for a > 0 and n > 0; for whole n also
// ln a(a+1)...(a+n-1), which is cheaper as long as the product is short.
func logRising(a, n float64) float64 {
	a = max(a, 1e-300)
	if n <= 8 && n == math.Trunc(n) && a < 1e30 {
		p := a
		for i := 1.0; i < n; i++ {
			p *= a + i
		}
		return math.Log(p)
	}
	whole, _ := math.Lgamma(a + n)
	part, _ := math.Lgamma(a)
	return whole - part
}

// AppendBinary appends the state to b. It implements encoding.BinaryAppender.
func (m *PGMix) AppendBinary(b []byte) ([]byte, error) {
	var v [3 * mixed]float64
	for i, g := range m.g {
		v[3*i], v[3*i+1], v[3*i+2] = m.weight[i], g.shape, g.exposure
	}
	return appendState(b, stateMix, v[:]...), nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (m *PGMix) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// UnmarshalBinary loads a state into a model made by NewPGMix, which keeps its
// options. On an error, which wraps ErrState, the model is unchanged.
func (m *PGMix) UnmarshalBinary(b []byte) error {
	var v [3 * mixed]float64
	if err := readState(b, stateMix, v[:]); err != nil {
		return err
	}
	loaded := *m
	var sum float64
	for i := range loaded.g {
		loaded.weight[i], loaded.g[i] = v[3*i], gamma{v[3*i+1], v[3*i+2]}
		if err := checkState(v[3*i] >= 0 && loaded.g[i].valid(), "weight, shape or exposure out of range"); err != nil {
			return err
		}
		sum += v[3*i]
	}
	if err := checkState(math.Abs(sum-1) < 1e-9, "weights do not sum to 1"); err != nil {
		return err
	}
	*m = loaded
	return nil
}
