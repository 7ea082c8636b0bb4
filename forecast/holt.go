package forecast

import (
	"fmt"
	"math"
	"time"
)

// Holt follows level and trend of the arrival rate by exponential smoothing with
// a damped trend (Gardner and McKenzie 1985). Its use is the horizon of 10 s to two
// minutes at which nodes are reserved, where a ramp is worth extrapolating.
//
// Smoothing wants a regular series, and observations are not: so arrivals gather in
// ticks of fixed length, and every tick is one step. Many equal ticks, silent ones
// above all, are taken in one step (smoothing.jump), so the state depends on what
// happened and not on how it was cut into observations. During the first Level of
// its life a Holt only averages; a level that started from the first tick, which
// is what textbooks do, would read one call in 100 ms as 10 a second.
type Holt struct {
	p    smoothing
	tick time.Duration
	warm int64 // ticks to average before smoothing

	trend trend         // requests/s, and requests/s per tick
	seen  int64         // whole ticks seen, up to warm
	begun time.Duration // seen of the tick under way, in [0, tick)
	count float64       // arrivals in it
}

// HoltOptions tunes a Holt. The zero value is ready to use.
type HoltOptions struct {
	Level   time.Duration // time constant of the level, > Tick. Default 30s.
	Trend   time.Duration // time constant of the trend, > Tick. Default 120s.
	Damping time.Duration // time in which a forecast trend fades to 1/e, > Tick. Default 120s; see below.
	Tick    time.Duration // length of a step, > 0. Default 100ms.
}

// Damping also holds back the trend while it is learned: in the long run a Holt
// sees Damping/(Damping+Trend) of a steady ramp's slope. 120s keeps half of it and
// at horizons of up to a minute fades it by less than half; 25s, good for the few
// seconds of a cold start, leaves no more than an EWMA has (on simulated Poisson
// arrivals that swing with a period of 20 minutes, the error a minute ahead is
// 2.0/s with 120s, 2.7 with 25s, 3.0 for the EWMA; at a steady 5/s it is 0.39,
// 0.32, 0.28).

// NewHolt returns a Holt that has seen nothing, or an error for options out of range.
func NewHolt(opts HoltOptions) (*Holt, error) {
	tick, err := timeConstant("Holt tick", opts.Tick, 100*time.Millisecond)
	if err != nil {
		return nil, err
	}
	var taus [3]float64
	for i, o := range []struct {
		name       string
		value, def time.Duration
	}{
		{"Holt level", opts.Level, 30 * time.Second},
		{"Holt trend", opts.Trend, 120 * time.Second},
		{"Holt damping", opts.Damping, 120 * time.Second},
	} {
		if taus[i], err = timeConstant(o.name, o.value, o.def); err != nil {
			return nil, err
		}
		if taus[i] <= tick {
			return nil, fmt.Errorf("forecast: %s %vs is not longer than the tick %vs", o.name, taus[i], tick)
		}
	}
	_, alpha := decay(tick, taus[0])
	_, betaStar := decay(tick, taus[1])
	phi, _ := decay(tick, taus[2])
	return &Holt{
		p:    smoothing{alpha: alpha, beta: alpha * betaStar, phi: phi},
		tick: time.Duration(math.Round(tick * 1e9)),
		warm: int64(taus[0] / tick),
	}, nil
}

// Observe implements Model. It takes time logarithmic in the length of span.
func (h *Holt) Observe(n int, span time.Duration) {
	if span <= 0 {
		h.count += count(n)
		return
	}
	rate := count(n) / span.Seconds()
	if h.begun > 0 || h.count > 0 { // first finish the tick under way
		part := min(span, h.tick-h.begun)
		h.begun += part
		h.count += rate * part.Seconds()
		span -= part
		if h.begun < h.tick {
			return
		}
		h.ticks(h.count/h.tick.Seconds(), 1)
	}
	h.ticks(rate, int64(span/h.tick))
	h.begun = span % h.tick
	h.count = rate * h.begun.Seconds()
}

// ticks takes in n whole ticks at rate requests/s each.
func (h *Holt) ticks(rate float64, n int64) {
	if n > 0 && h.seen < h.warm {
		m := min(n, h.warm-h.seen)
		h.seen += m
		h.trend.level += (rate - h.trend.level) * float64(m) / float64(h.seen)
		n -= m
	}
	if n > 0 {
		h.trend = h.p.jump(h.trend, rate, n)
	}
}

// Forecast implements Model. The rate is taken as known, and never negative
// however steep the fall; arrivals in the tick under way do not count yet.
func (h *Holt) Forecast(horizon time.Duration) Rate {
	steps := max(0, horizon).Seconds() / h.tick.Seconds()
	return Known(h.p.ahead(h.trend, steps))
}

// AppendBinary appends the state to b. It implements encoding.BinaryAppender.
func (h *Holt) AppendBinary(b []byte) ([]byte, error) {
	return appendState(b, stateHolt, h.tick.Seconds(), h.trend.level, h.trend.slope,
		float64(h.seen), float64(h.begun), h.count), nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (h *Holt) MarshalBinary() ([]byte, error) { return h.AppendBinary(nil) }

// UnmarshalBinary loads a state into a model made by NewHolt, which keeps its
// options; a state with another tick is refused, since its trend is per tick. On an
// error, which wraps ErrState, the model is unchanged.
func (h *Holt) UnmarshalBinary(b []byte) error {
	var v [6]float64
	if err := readState(b, stateHolt, v[:]); err != nil {
		return err
	}
	if err := checkState(v[0] == h.tick.Seconds(), "another tick"); err != nil {
		return err
	}
	ok := v[3] >= 0 && v[3] < 1<<53 && v[4] >= 0 && v[4] < float64(h.tick) && v[5] >= 0
	if err := checkState(ok, "negative or too long"); err != nil {
		return err
	}
	h.trend = trend{level: v[1], slope: v[2]}
	h.seen = min(int64(v[3]), h.warm)
	h.begun, h.count = time.Duration(v[4]), v[5]
	return nil
}
