package prewarm

import (
	"fmt"

	"github.com/forewarm/forewarm/forecast/gap"
)

// Mode says what forecasts may do. Floors, ceilings and pauses hold in every mode, and laws learn in every mode, so
// that a change of mode never begins with nothing.
type Mode uint8

// Modes.
const (
	On     Mode = iota // forecasts decide
	Shadow             // the keep-alive of the reactive policy decides; what forecasts would have done is recorded beside it
	Off                // the keep-alive decides, and nothing is forecast
)

var modeNames = [...]string{"on", "shadow", "off"}

// String gives the word used by --mode.
func (m Mode) String() string { return modeNames[m] }

// ParseMode turns the name of a mode into it.
func ParseMode(name string) (Mode, error) {
	for m, n := range modeNames {
		if n == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("mode %q does not exist; there are on, shadow and off", name)
}

// Mode is the present mode.
func (p *Planner) Mode() Mode { return p.opts.Mode }

// SetMode changes it: every function is decided anew in the next rounds.
func (p *Planner) SetMode(m Mode) error {
	if int(m) >= len(modeNames) {
		return fmt.Errorf("prewarm: mode %d does not exist", m)
	}
	was := p.opts.Mode
	p.opts.Mode = m
	for _, pl := range p.plans {
		if pl == nil || m == was {
			continue
		}
		if was == Off { // what forecasts would hold was not followed
			pl.books.ahead.join(&pl.books.live)
			pl.books.gate.ahead = pl.books.ahead.Cost
		}
		p.due.set(pl, gap.Never)
		p.queue(pl)
	}
	return nil
}

// watches says whether pl's forecasts are worked out.
func (p *Planner) watches(pl *plan) bool { return pl.policy != nil && p.opts.Mode != Off }
