package forecast

import "time"

// EWMA is an exponentially weighted mean of the arrival rate: the cheapest model,
// and the baseline for the others.
//
// It forgets by time, not by observation, so that irregular spans weigh what they
// last: over a span D holding n arrivals,
//
//	rate <- d rate + (1-d) n/D,   d = e^(-D/tau)
//
// A silent span is exactly its parts, and for D -> 0 the update adds n/tau, the
// shot noise form. It starts from nothing: what it has seen of tau, 1 - e^(-age/tau),
// divides the rate, which removes the bias towards the zero it began with (Kingma
// and Ba 2015, section 3, have the same correction). Until it is about one tau old
// an EWMA is the plain mean rate, so tell it of the silence before the first call.
type EWMA struct {
	tau  float64 // time constant, s
	rate float64 // uncorrected, requests/s
	seen float64 // 1 - e^(-age/tau)
}

// EWMAOptions tunes an EWMA. The zero value is ready to use.
type EWMAOptions struct {
	Tau time.Duration // time in which the past fades to 1/e, > 0. Default 30s.
}

// NewEWMA returns an EWMA that has seen nothing, or an error for a negative Tau.
func NewEWMA(opts EWMAOptions) (*EWMA, error) {
	tau, err := timeConstant("EWMA tau", opts.Tau, 30*time.Second)
	if err != nil {
		return nil, err
	}
	return &EWMA{tau: tau}, nil
}

// Observe implements Model.
func (e *EWMA) Observe(n int, span time.Duration) {
	if span <= 0 {
		e.rate += count(n) / e.tau
		return
	}
	s := span.Seconds()
	kept, gone := decay(s, e.tau)
	e.rate = kept*e.rate + gone*count(n)/s
	e.seen = kept*e.seen + gone
}

// Forecast implements Model. The rate is taken as known; before any time was
// observed it is 0.
func (e *EWMA) Forecast(time.Duration) Rate {
	if e.seen == 0 {
		return Known(0)
	}
	return Known(e.rate / e.seen)
}

// AppendBinary appends the state to b. It implements encoding.BinaryAppender.
func (e *EWMA) AppendBinary(b []byte) ([]byte, error) {
	return appendState(b, stateEWMA, e.rate, e.seen), nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (e *EWMA) MarshalBinary() ([]byte, error) { return e.AppendBinary(nil) }

// UnmarshalBinary loads a state into a model made by NewEWMA, which keeps its
// options. On an error, which wraps ErrState, the model is unchanged.
func (e *EWMA) UnmarshalBinary(b []byte) error {
	var v [2]float64
	if err := readState(b, stateEWMA, v[:]); err != nil {
		return err
	}
	if err := checkState(v[0] >= 0 && v[1] >= 0 && v[1] <= 1, "negative rate or age"); err != nil {
		return err
	}
	e.rate, e.seen = v[0], v[1]
	return nil
}
