package prewarm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// A saved entry is a version byte and sections, each a kind, a length and so many bytes. A kind that is not known is
// skipped. Version 1 was the laws alone; they begin with the same byte.
const (
	entryLaws    = 1
	entryVersion = 2

	kindLaws    = 'l' // gap.Levels
	kindAccount = 'a' // books and gate of a function
	kindKappa   = 'k' // what is learnt of an account
)

var errEntry = errors.New("prewarm: bad saved entry")

// saved is an entry that was loaded for a function and waits for it to be heard of.
type saved struct {
	state []byte
	away  time.Duration
}

// Save yields the state of every function that has any worth keeping, and under an empty name that of every account
// whose kappa is learnt, until yield returns an error. What is saved does not depend on the mode, and a run with
// another policy hands on the laws that it does not use.
func (p *Planner) Save(yield func(account, name string, state []byte) error) error {
	for account, t := range p.tenants {
		data, err := t.append(nil)
		if err != nil {
			return err
		}
		if err := yield(account, "", section([]byte{entryVersion}, kindKappa, data)); err != nil {
			return err
		}
	}
	for k, pl := range p.known {
		if !pl.called && !pl.restored && !pl.taught {
			continue // declared, and nothing more
		}
		state, err := pl.save()
		if err != nil {
			return err
		}
		if err := yield(k.account, k.name, state); err != nil {
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

func (pl *plan) save() ([]byte, error) {
	laws := pl.foreign
	if g, ok := pl.policy.(*byGap); ok {
		var err error
		if laws, err = g.levels.MarshalBinary(); err != nil { // rates are learnt again within a minute
			return nil, err
		}
	}
	b := []byte{entryVersion}
	if laws != nil {
		b = section(b, kindLaws, laws)
	}
	data, err := pl.books.append(nil)
	return section(b, kindAccount, data), err
}

func section(b []byte, kind byte, data []byte) []byte {
	return append(binary.AppendUvarint(append(b, kind), uint64(len(data))), data...)
}

// Load hands in what Save gave away ago; it is used when the function is first heard of. It must come before the
// first Advance.
func (p *Planner) Load(account, name string, state []byte, away time.Duration) {
	if name != "" {
		p.saved[key{account, name}] = saved{state, away}
		return
	}
	t := p.tenant(account)
	if t == nil {
		return // kappa is not learnt in this run
	}
	p.logKappas -= t.logKappa
	err := sections(state, func(kind byte, data []byte) error {
		if kind == kindKappa {
			return t.read(data)
		}
		return nil
	})
	if err != nil {
		p.Unread++
	}
	p.logKappas += t.logKappa
}

// sections yields the sections of an entry, also of one of version 1.
func sections(state []byte, yield func(kind byte, data []byte) error) error {
	if len(state) == 0 {
		return fmt.Errorf("%w: it is empty", errEntry)
	}
	switch state[0] {
	case entryLaws:
		return yield(kindLaws, state)
	case entryVersion:
	default:
		return fmt.Errorf("%w: its version is %d", errEntry, state[0])
	}
	for rest := state[1:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return fmt.Errorf("%w: it is cut short", errEntry)
		}
		data := rest[1+n : 1+n+int(size)]
		if err := yield(rest[0], data); err != nil {
			return err
		}
		rest = rest[1+n+int(size):]
	}
	return nil
}

// restore gives a new plan the state that was loaded for it. What of it cannot be read is left out: the function
// begins anew.
func (p *Planner) restore(pl *plan) {
	s, ok := p.saved[pl.key]
	if !ok {
		return
	}
	delete(p.saved, pl.key)
	pl.restored = true
	var bad error
	cut := sections(s.state, func(kind byte, data []byte) error {
		if err := pl.restore(kind, data, s.away); err != nil {
			bad = err
		}
		return nil
	})
	if bad != nil || cut != nil {
		p.Unread++
	}
}

func (pl *plan) restore(kind byte, data []byte, away time.Duration) error {
	switch kind {
	case kindLaws:
		if g, ok := pl.policy.(*byGap); ok {
			return g.levels.Restore(data, pl.fed+g.shift, away+max(0, pl.fed))
		}
		pl.foreign = data
	case kindAccount:
		return pl.books.read(data)
	}
	return nil
}

// savedBooks is an account section: every field takes its fixed size, so that another layout needs another kind.
type savedBooks struct {
	Live, Forecast, Reactive Book
	Bucket, Lately           float64
	Begun, Fallen            bool
}

func (l *ledger) append(b []byte) ([]byte, error) {
	g := &l.gate
	return binary.Append(b, binary.LittleEndian, &savedBooks{l.live.Book, l.ahead.Book, l.keep.Book, g.bucket, g.lately, g.begun, g.fallen})
}

func (l *ledger) read(data []byte) error {
	var s savedBooks
	if n, err := binary.Decode(data, binary.LittleEndian, &s); err != nil || n != len(data) {
		return fmt.Errorf("%w: an account of %d bytes", errEntry, len(data))
	}
	for _, x := range [...]float64{s.Live.Cost, s.Forecast.Cost, s.Reactive.Cost, s.Bucket, s.Lately} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%w: an account with costs that are no numbers", errEntry)
		}
	}
	l.live.Book, l.ahead.Book, l.keep.Book = s.Live, s.Forecast, s.Reactive
	l.gate = gate{fallen: s.Fallen, bucket: s.Bucket, begun: s.Begun, lately: s.Lately, live: s.Live.Cost, ahead: s.Forecast.Cost, keep: s.Reactive.Cost}
	return nil
}

// savedTenant is a kappa section.
type savedTenant struct {
	LogKappa    float64
	Calls, Cold uint64
	Lately      float64
}

func (t *tenant) append(b []byte) ([]byte, error) {
	return binary.Append(b, binary.LittleEndian, &savedTenant{t.logKappa, t.calls, t.cold, t.lately})
}

func (t *tenant) read(data []byte) error {
	var s savedTenant
	if n, err := binary.Decode(data, binary.LittleEndian, &s); err != nil || n != len(data) || s.LogKappa-s.LogKappa != 0 || s.Lately-s.Lately != 0 {
		return fmt.Errorf("%w: a kappa of %d bytes", errEntry, len(data))
	}
	*t = tenant{logKappa: s.LogKappa, calls: s.Calls, cold: s.Cold, lately: s.Lately}
	t.clamp()
	return nil
}
