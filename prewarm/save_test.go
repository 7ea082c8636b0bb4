package prewarm

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// taught is a world in which a timer was learnt, and kappa.
func taught(t *testing.T, o Options) *world {
	w := newWorld(t, o, 500*time.Millisecond)
	f := w.function("acc", "f")
	for at := time.Duration(0); at < 10*time.Minute; at += 10 * time.Second {
		w.at(at, func() { w.call(f, 100*time.Millisecond) })
	}
	w.run(10*time.Minute - time.Second)
	return w
}

func saveAll(t *testing.T, p *Planner) map[key][]byte {
	m := map[key][]byte{}
	if err := p.Save(func(account, name string, state []byte) error {
		m[key{account, name}] = bytes.Clone(state)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func loadAll(t *testing.T, o Options, m map[key][]byte) *Planner {
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for k, s := range m {
		p.Load(k.account, k.name, s, time.Minute)
	}
	return p
}

func TestStateSurvivesARestart(t *testing.T) {
	o := Options{Kappa: 4 * time.Second, TargetCold: .1}
	w := taught(t, o)
	before, _ := w.planner.Forecast(w.now, 0)
	state := saveAll(t, w.planner)
	if len(state) != 2 {
		t.Fatalf("%d entries saved, want one of the function and one of its account", len(state))
	}
	p := loadAll(t, o, state)
	if got := p.known; len(got) != 0 {
		t.Errorf("%d functions known before any was heard of", len(got))
	}
	if err := p.Declare(0, 0, "acc", "f", 1<<30); err != nil {
		t.Fatal(err)
	}
	after, _ := p.Forecast(0, 0)
	if after.Spent.Live != before.Spent.Live || after.Spent.Forecast != before.Spent.Forecast {
		t.Errorf("the account was %+v, and is %+v", before.Spent, after.Spent)
	}
	if d := after.Kappa - before.Kappa; d.Abs() > time.Millisecond*100 {
		t.Errorf("kappa was %v, and is %v", before.Kappa, after.Kappa)
	}
	w.planner, w.fns[0].boxes, w.planAt = p, nil, w.now
	if again := saveAll(t, p); len(again) != 2 || len(again[key{"acc", "f"}]) != len(state[key{"acc", "f"}]) {
		t.Errorf("saved again at once: %d entries", len(again))
	}
	if p.Unread != 0 {
		t.Errorf("%d states could not be read", p.Unread)
	}
}

// A state of version 1 is the laws alone.
func TestOldStateIsRead(t *testing.T) {
	w := taught(t, Options{Kappa: 4 * time.Second})
	laws, err := w.planner.plans[0].policy.(*byGap).levels.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := loadAll(t, Options{}, map[key][]byte{{"acc", "f"}: laws})
	if err := p.Declare(0, 0, "acc", "f", 0); err != nil {
		t.Fatal(err)
	}
	if law := p.plans[0].policy.(*byGap).levels.Law(0); law == nil || law.Gaps() < 50 || p.Unread != 0 {
		t.Errorf("law %v, %d unread; want the gaps of version 1", law, p.Unread)
	}
}

// A run with another policy, or in another mode, hands the laws on.
func TestStateOutlivesPolicyAndMode(t *testing.T) {
	w := taught(t, Options{Kappa: 4 * time.Second})
	state := saveAll(t, w.planner)
	for _, o := range []Options{{Policy: dispatcher.ModelEWMA}, {Policy: dispatcher.ModelReactive}, {Mode: Off}, {Mode: Shadow}} {
		p := loadAll(t, o, state)
		if err := p.Declare(0, 0, "acc", "f", 0); err != nil {
			t.Fatal(err)
		}
		back := loadAll(t, Options{}, saveAll(t, p))
		if err := back.Declare(0, 0, "acc", "f", 0); err != nil {
			t.Fatal(err)
		}
		if law := back.plans[0].policy.(*byGap).levels.Law(0); law == nil || law.Gaps() < 50 {
			t.Errorf("after a run with %v in mode %v the law is %v", o.Policy, o.Mode, law)
		}
	}
}

func TestBadStateIsLeftOut(t *testing.T) {
	w := taught(t, Options{TargetCold: .1})
	good := saveAll(t, w.planner)
	for k, s := range good {
		for name, bad := range map[string][]byte{"empty": {}, "of another version": {9, 1, 2}, "cut short": s[:len(s)-1], "garbage": {2, 'l', 2, 7, 7, 'a', 1, 0, 'k', 1, 1}} {
			p := loadAll(t, Options{TargetCold: .1}, map[key][]byte{k: bad})
			if err := p.Declare(0, 0, "acc", "f", 0); err != nil {
				t.Fatal(err)
			}
			if p.Unread != 1 {
				t.Errorf("a state of %q that is %s: %d counted as unread, want 1", k.name, name, p.Unread)
			}
		}
	}
	unknown := append(bytes.Clone(good[key{"acc", "f"}]), 'z', 3, 1, 2, 3)
	p := loadAll(t, Options{}, map[key][]byte{{"acc", "f"}: unknown})
	if err := p.Declare(0, 0, "acc", "f", 0); err != nil || p.Unread != 0 {
		t.Errorf("a section of a later version makes %d unread, %v; want it skipped", p.Unread, err)
	}
}

func TestSaveStopsAtAnError(t *testing.T) {
	w := taught(t, Options{TargetCold: .1})
	full := errors.New("disk full")
	calls := 0
	err := w.planner.Save(func(string, string, []byte) error { calls++; return full })
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("Save = %v after %d calls, want %v after one", err, calls, full)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte{2, 'l', 2, 1, 0, 'a', 0})
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, state []byte) {
		p, err := New(Options{TargetCold: .1})
		if err != nil {
			t.Fatal(err)
		}
		p.Load("acc", "f", state, time.Hour)
		p.Load("acc", "", state, time.Hour)
		var out Decisions
		if err := p.Declare(0, 0, "acc", "f", 0); err != nil {
			t.Fatal(err)
		}
		p.Advance(time.Second, &dispatcher.News{}, &out)
		if k := p.tenants["acc"].kappa(); k < kappaMin || k > kappaMax+time.Second {
			t.Errorf("kappa %v was loaded", k)
		}
	})
}
