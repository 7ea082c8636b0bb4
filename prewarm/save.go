package prewarm

import (
	"time"
)

// Save yields the state of every function whose policy has any worth keeping, until yield returns an error.
func (p *Planner) Save(yield func(account, name string, state []byte) error) error {
	for _, pl := range p.plans {
		if pl == nil {
			continue
		}
		g, ok := pl.policy.(*byGap)
		if !ok {
			continue // rates are learnt again within a minute
		}
		state, err := g.levels.MarshalBinary()
		if err != nil {
			return err
		}
		if err := yield(pl.key.account, pl.key.name, state); err != nil {
			return err
		}
	}
	for k, s := range p.saved { // loaded, and not called since
		if err := yield(k.account, k.name, s.state); err != nil {
			return err
		}
	}
	return nil
}

// Load hands in what Save gave away ago; it is used when the function is first heard of. It must come before the
// first Advance.
func (p *Planner) Load(account, name string, state []byte, away time.Duration) {
	p.saved[key{account, name}] = saved{state, away}
}

type saved struct {
	state []byte
	away  time.Duration
}

// restore gives a new plan the state that was loaded for it. A state that cannot be read is left out: the
// function begins anew.
func (p *Planner) restore(pl *plan) {
	s, ok := p.saved[pl.key]
	if !ok {
		return
	}
	delete(p.saved, pl.key)
	if g, ok := pl.policy.(*byGap); ok {
		if g.levels.Restore(s.state, pl.fed, s.away+pl.fed) != nil {
			p.Unread++
		}
	}
}
