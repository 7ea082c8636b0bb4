package forecast

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestStateRoundTrip(t *testing.T) {
	eachModel(t, func(t *testing.T, name string) {
		rng := rand.New(rand.NewPCG(15, 15))
		m := newModel(t, name)
		for range 300 {
			s := randomSpanned(rng)
			m.Observe(s.n, s.span)
			state, err := m.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			loaded := newModel(t, name)
			if err := loaded.UnmarshalBinary(state); err != nil {
				t.Fatalf("after %v: %v", s, err)
			}
			next := randomSpanned(rng)
			m.Observe(next.n, next.span)
			loaded.Observe(next.n, next.span)
			if a, b := m.Forecast(time.Second), loaded.Forecast(time.Second); a != b {
				t.Fatalf("forecast after %v = %v, of the loaded model %v", next, a, b)
			}
		}
	})
}

func TestStateRefusesGarbage(t *testing.T) {
	states := map[string][]byte{}
	for _, name := range names {
		m := newModel(t, name)
		m.Observe(3, time.Minute)
		states[name], _ = m.MarshalBinary()
	}
	eachModel(t, func(t *testing.T, name string) {
		own := states[name]
		garbage := map[string][]byte{
			"nothing":         nil,
			"too long":        append(own[:len(own):len(own)], 0),
			"another version": append([]byte{own[0], own[1] + 1}, own[2:]...),
			"negative":        append(own[:len(own)-8:len(own)-8], 0, 0, 0, 0, 0, 0, 0xf0, 0xbf),
		}
		for i := 2; i < len(own); i += 8 {
			for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				b := bytes.Clone(own)
				binary.LittleEndian.PutUint64(b[i:], math.Float64bits(v))
				garbage[fmt.Sprintf("%v at byte %d", v, i)] = b
			}
		}
		for n := range own {
			garbage["cut short"] = own[:n]
			for what, b := range garbage {
				m := newModel(t, name)
				m.Observe(7, time.Second)
				before := m.Forecast(0)
				if err := m.UnmarshalBinary(b); !errors.Is(err, ErrState) {
					t.Errorf("%s (%d bytes): error %v, want ErrState", what, len(b), err)
				}
				if m.Forecast(0) != before {
					t.Errorf("%s: the model changed", what)
				}
			}
		}
		for other, b := range states {
			if b[0] == own[0] {
				continue
			}
			if err := newModel(t, name).UnmarshalBinary(b); !errors.Is(err, ErrState) {
				t.Errorf("state of %s: error %v, want ErrState", other, err)
			}
		}
	})
}

// Whatever bytes a model accepts, its forecasts stay in range.
func FuzzState(f *testing.F) {
	for i, name := range names {
		m := newModel(f, name)
		m.Observe(3, time.Minute)
		state, _ := m.MarshalBinary()
		f.Add(i, state)
	}
	f.Fuzz(func(t *testing.T, i int, state []byte) {
		m := newModel(t, names[uint(i)%uint(len(names))])
		if m.UnmarshalBinary(state) != nil {
			return
		}
		checkForecast(t, m, "loading")
		m.Observe(2, time.Second)
		m.Observe(0, time.Hour)
		checkForecast(t, m, "loading and observing")
	})
}
