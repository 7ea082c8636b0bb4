package gap

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestLawRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	for range 200 {
		l := randomLaw(r)
		b, err := l.MarshalBinary()
		if err != nil || len(b) > 401 {
			t.Fatalf("MarshalBinary gave %d bytes, %v", len(b), err)
		}
		var got Law
		if err := got.UnmarshalBinary(b); err != nil || got != *l {
			t.Fatalf("round trip: %v, got %+v, want %+v", err, got, *l)
		}
	}
	if b, _ := new(Law).MarshalBinary(); len(b) != 7 {
		t.Errorf("an unknown law takes %d bytes, want 7", len(b))
	}
}

func TestBadLaws(t *testing.T) {
	good, _ := observed(repeat(time.Second, 5)...).MarshalBinary()
	edit := func(at int, to ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], to)
		return b
	}
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"nothing", nil},
		{"another version", edit(0, 9)},
		{"too many bins", edit(1, bins+1)},
		{"cut short", good[:len(good)-1]},
		{"too long", append(bytes.Clone(good), 0)},
		{"not a number", edit(7, 0, 0, 0xc0, 0x7f)},
		{"negative", edit(7, 0, 0, 0x80, 0xbf)},
		{"more ended than reached", edit(11, 0, 0, 0, 0x43)},
	} {
		l := Law{seen: 42}
		if err := l.UnmarshalBinary(tt.data); !errors.Is(err, ErrState) || l != (Law{seen: 42}) {
			t.Errorf("%s: err %v, law changed: %v", tt.name, err, l != Law{seen: 42})
		}
	}
}

func FuzzUnmarshalBinary(f *testing.F) {
	r := rand.New(rand.NewPCG(37, 38))
	for range 5 {
		b, _ := randomLaw(r).MarshalBinary()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var l Law
		if l.UnmarshalBinary(data) != nil {
			return
		}
		b, _ := l.MarshalBinary()
		var again Law
		if err := again.UnmarshalBinary(b); err != nil || again != l {
			t.Fatalf("second round trip: %v", err)
		}
		l.Observe(7*time.Second, Options{})
		var s Schedule
		l.Solve(Price{Kappa: time.Minute, Start: time.Second}, Options{}, &s)
		checkSchedule(t, &s)
		l.SolveUp(Price{Kappa: time.Minute, Start: time.Second}, Options{}, &s)
		checkSchedule(t, &s)
	})
}

func FuzzRestore(f *testing.F) {
	b, _ := busyLevels(f).MarshalBinary()
	f.Add(b)
	f.Add([]byte{levelsVersion, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLevels(t)
		if l.Restore(data, time.Second, time.Hour) != nil {
			return
		}
		now := time.Second
		for range 3 {
			l.Arrive(now)
			w := l.Wanted(now, Price{Kappa: time.Minute, Start: time.Second})
			if w.Next <= now {
				t.Fatalf("at %v the next change is at %v", now, w.Next)
			}
			now += time.Second
			l.Depart(now)
		}
		if _, err := l.MarshalBinary(); err != nil {
			t.Fatal(err)
		}
	})
}

func busyLevels(t testing.TB) *Levels {
	f := newLevels(t)
	f.Wanted(0, Price{Kappa: time.Minute, Start: 200 * time.Millisecond})
	for _, e := range events(poisson(rand.New(rand.NewPCG(39, 40)), 30, time.Second, 100*time.Second)) {
		f.feed(e)
	}
	return f
}

func TestLevelsRoundTrip(t *testing.T) {
	f := busyLevels(t)
	b, err := f.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	g := newLevels(t)
	const now, away = 5 * time.Second, 7 * 24 * time.Hour
	if err := g.Restore(b, now, away); err != nil {
		t.Fatal(err)
	}
	if g.Busy() != 0 || len(g.groups) != len(f.groups) {
		t.Fatalf("%d busy and %d laws after Restore, want 0 and %d", g.Busy(), len(g.groups), len(f.groups))
	}
	for k := range f.groups {
		was, is := f.groups[k], g.groups[k]
		if was.once != is.once || was.first != is.first || (was.idle == nil) != (is.idle == nil) || (was.up == nil) != (is.up == nil) {
			t.Fatalf("group %d was %+v, is %+v", k, was, is)
		}
		if was.idle != nil {
			half := was.idle.law
			half.Fade(.5) // away for one half-life
			if is.idle.law != half {
				t.Fatalf("group %d: law %+v, want %+v", k, is.idle.law, half)
			}
		}
		if math.Abs(g.levels[firstOf(k)].cascade.Calls()-f.levels[firstOf(k)].cascade.Calls()) > 1e-6 {
			t.Fatalf("group %d: cascade is lost", k)
		}
	}
	const k = 30 // about the mean occupancy
	gaps := g.Law(k).Gaps()
	for range k + 1 {
		g.Arrive(now + time.Second)
	}
	if g.Law(k).Gaps() != gaps {
		t.Error("a gap that began before the restart was learned from")
	}
	if err := g.Restore(b[:len(b)-2], now, 0); !errors.Is(err, ErrState) || g.Busy() != k+1 {
		t.Errorf("cut short: %v, busy %d: want an error and nothing changed", err, g.Busy())
	}
	if err := g.Restore([]byte{7}, now, 0); !errors.Is(err, ErrState) {
		t.Errorf("another version: %v", err)
	}
}
