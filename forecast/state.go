package forecast

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrState means that bytes are not the saved state of the model that was asked
// to load them. The model keeps the state it had.
var ErrState = errors.New("forecast: not a saved state of this model")

// A saved state is one byte for the kind of model, one for the version of its
// layout, and then float64s, least byte first. Options are not saved: they are
// what the operator says today, not what was said when the state was written.
const (
	stateEWMA  = 'e'
	stateHolt  = 'h'
	stateGamma = 'g'
	stateMix   = 'm'

	stateVersion = 1
)

func appendState(b []byte, kind byte, values ...float64) []byte {
	b = append(b, kind, stateVersion)
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// readState fills values from what appendState wrote. It fails on a foreign kind,
// another version, a wrong length, and values that no model holds: NaN, infinite.
func readState(b []byte, kind byte, values []float64) error {
	if len(b) < 2 {
		return fmt.Errorf("%w: %d bytes", ErrState, len(b))
	}
	if b[0] != kind || b[1] != stateVersion {
		return fmt.Errorf("%w: kind %q version %d, want %q version %d", ErrState, b[0], b[1], kind, stateVersion)
	}
	if want := 2 + 8*len(values); len(b) != want {
		return fmt.Errorf("%w: %d bytes, want %d", ErrState, len(b), want)
	}
	for i := range values {
		v := math.Float64frombits(binary.LittleEndian.Uint64(b[2+8*i:]))
		if math.IsNaN(v) || math.Abs(v) > maxRate {
			return fmt.Errorf("%w: value %d is %v", ErrState, i, v)
		}
		values[i] = v
	}
	return nil
}

// checkState fails unless ok.
func checkState(ok bool, what string) error {
	if !ok {
		return fmt.Errorf("%w: %s", ErrState, what)
	}
	return nil
}
