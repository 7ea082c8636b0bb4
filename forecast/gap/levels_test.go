package gap

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func newLevels(t testing.TB) *Levels {
	f, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGroups(t *testing.T) {
	last := -1
	for k := range 5000 {
		g := groupOf(k)
		if g != last && g != last+1 {
			t.Fatalf("groupOf(%d) = %d after %d", k, g, last)
		}
		if g != last && firstOf(g) != k {
			t.Fatalf("firstOf(%d) = %d, want %d", g, firstOf(g), k)
		}
		last = g
	}
	if groupOf(31) != 31 || groupOf(32) != groupOf(39) || groupOf(40) != 33 {
		t.Errorf("groups of 31, 32, 39, 40: %d %d %d %d", groupOf(31), groupOf(32), groupOf(39), groupOf(40))
	}
}

// replay lists, per level, its idle gaps and its times since the level below was taken, from the whole event list.
type replay struct {
	gaps []past
	ups  []past
	on   bool // the up law exists
}

func slowLevels(es []event, start time.Duration) []replay {
	var levels []replay
	type moment struct {
		at   time.Duration
		open bool
	}
	idle, taken := map[int]moment{}, map[int]moment{}
	busy := 0
	for _, e := range es {
		if e.depart {
			busy--
			idle[busy] = moment{e.at, true}
			continue
		}
		k := busy
		busy++
		for len(levels) <= k+1 {
			levels = append(levels, replay{})
		}
		if m := idle[k]; m.open {
			levels[k].gaps = append(levels[k].gaps, past{gap: e.at - m.at})
		}
		if m := taken[k-1]; m.open { // first need since level k-1 was taken
			after := e.at - m.at
			switch {
			case levels[k].on:
				levels[k].ups = append(levels[k].ups, past{gap: after})
			case len(levels[k].gaps) >= 2 && after > start:
				levels[k].on = true
			}
			taken[k-1] = moment{m.at, false}
		}
		if m := taken[k]; m.open && levels[k+1].on { // level k+1 was not needed meanwhile
			levels[k+1].ups = append(levels[k+1].ups, past{e.at - m.at, true})
		}
		taken[k] = moment{e.at, true}
	}
	return levels
}

func compareLaw(t *testing.T, what string, k int, l *Law, ps []past) {
	t.Helper()
	for i := range bins {
		n, c := counts(ps, i, .99)
		if math.Abs(n-float64(l.reached[i])) > 1e-3*(1+n) || math.Abs(c-float64(l.ended[i])) > 1e-3*(1+c) {
			t.Fatalf("level %d, %s law, bin %d: N, C = %v, %v, want %v, %v", k, what, i, l.reached[i], l.ended[i], n, c)
		}
	}
}

func TestLevelsMatchTheWholeEventList(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	price := Price{Kappa: time.Minute, Start: 300 * time.Millisecond}
	ups := 0
	for range 60 {
		es := events(poisson(r, math.Exp(4*r.Float64()-1), seconds(.1+2*r.Float64()), 60*time.Second))
		f := newLevels(t)
		f.Wanted(0, price)
		for _, e := range es {
			f.feed(e)
		}
		for k, want := range slowLevels(es, price.Start) {
			if k >= ownLevels || len(want.gaps) < 2 {
				continue
			}
			compareLaw(t, "idle", k, &f.groups[k].idle.law, want.gaps)
			if (f.groups[k].up != nil) != want.on {
				t.Fatalf("level %d has an up law: %v, want %v", k, f.groups[k].up != nil, want.on)
			}
			if want.on {
				compareLaw(t, "up", k, &f.groups[k].up.law, want.ups)
				ups += len(want.ups)
			}
		}
	}
	if ups < 1000 {
		t.Errorf("only %d up times compared", ups)
	}
}

// TestWantedCountsEveryIdleLevel asks every level and clock by itself, and looks just before and after what Wanted
// calls the next change.
func TestWantedCountsEveryIdleLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	for range 30 {
		f := newLevels(t)
		price := Price{Kappa: seconds(60 * r.Float64()), Start: time.Second}
		es := events(poisson(r, 5*r.Float64(), seconds(20*r.Float64()), 5*time.Minute))
		count := func(now time.Duration) (n int) {
			for k := f.busy; k < len(f.levels); k++ {
				if f.ask(k, now, price).held {
					n++
				}
			}
			return n
		}
		for i, e := range es {
			f.feed(e)
			now := e.at + seconds(.1*r.Float64())
			if i+1 < len(es) {
				now = min(now, es[i+1].at)
			}
			w := f.Wanted(now, price)
			if w.Idle != count(now) || w.Busy != f.Busy() {
				t.Fatalf("Wanted = %+v at %v, want %d idle, %d busy", w, now, count(now), f.Busy())
			}
			if w.Next <= now || w.Next != Never && count(w.Next-1) != w.Idle {
				t.Fatalf("Wanted at %v announces a change at %v: %d now, %d just before", now, w.Next, w.Idle, count(w.Next-1))
			}
			if w.Why.Held != (w.Idle > 0) {
				t.Fatalf("%d levels are wanted, the reason is %+v", w.Idle, w.Why)
			}
		}
		if w := f.Wanted(es[len(es)-1].at+lastEdge, price); w.Idle != 0 || w.Next != Never {
			t.Fatalf("after 4 h of silence: %+v", w)
		}
	}
}

func TestNothingSeen(t *testing.T) {
	f := newLevels(t)
	if w := f.Wanted(time.Second, Price{Kappa: time.Minute}); w.Idle != 0 || w.Next != Never || w.Why.Level != -1 {
		t.Errorf("Wanted with nothing seen = %+v", w)
	}
	f.Depart(time.Second) // nothing is busy
	if f.Busy() != 0 {
		t.Errorf("Busy after a stray Depart = %d", f.Busy())
	}
	if f.Law(0) != nil || f.Law(-1) != nil || f.Law(100) != nil {
		t.Error("there is a law of nothing")
	}
}

func TestTimesOutOfOrderAreClamped(t *testing.T) {
	f := newLevels(t)
	for i := range 5 {
		at := time.Duration(i) * time.Second
		f.Arrive(at)
		f.Depart(at - 10*time.Second)
	}
	if l := f.Law(0); l == nil || l.Gaps() != 4 || l.ended[binOf(time.Second)] < 3.9 {
		t.Errorf("law is %+v, want four gaps of 1 s", l)
	}
}

func TestLevelsAboveShareLaws(t *testing.T) {
	f := newLevels(t)
	for i := range 3 {
		at := time.Duration(i) * time.Minute
		for range 40 {
			f.Arrive(at)
		}
		for range 40 {
			f.Depart(at)
		}
	}
	if got := len(f.groups); got != ownLevels+1 {
		t.Fatalf("%d laws for 40 levels, want 33", got)
	}
	if f.Law(32) != f.Law(39) || f.Law(39).Gaps() != 16 || f.Law(31).Gaps() != 2 {
		t.Errorf("level 39's law has seen %d gaps, want 16 of eight levels; level 31's %d, want 2", f.Law(39).Gaps(), f.Law(31).Gaps())
	}
}

func TestResetVoidsRunningGaps(t *testing.T) {
	f := newLevels(t)
	for i := range 4 {
		f.Arrive(time.Duration(i) * time.Second)
		f.Depart(time.Duration(i) * time.Second)
	}
	f.Reset(10*time.Second, 2)
	f.Depart(11 * time.Second)
	f.Depart(11 * time.Second)
	f.Arrive(12 * time.Second)
	if f.Law(0).Gaps() != 4 {
		t.Errorf("%d gaps, want 4: three before the reset and one after", f.Law(0).Gaps())
	}
	f.Reset(20*time.Second, 0)
	f.Arrive(21 * time.Second)
	if f.Law(0).Gaps() != 4 {
		t.Errorf("%d gaps, want 4: the one across a reset does not count", f.Law(0).Gaps())
	}
}

func TestSchedulesAreKeptUntilNewsOrPriceMove(t *testing.T) {
	var c clock
	for range 200 {
		c.law.Observe(5*time.Second, Options{})
	}
	p := Price{Kappa: time.Minute, Start: time.Second, Cascade: 1}
	solved := func() bool {
		before := c.solved
		c.solved-- // only a new solution puts it right; one gap more is not news enough for one
		c.schedule(p, false, Options{})
		if c.solved == before-1 {
			c.solved = before
			return false
		}
		return true
	}
	c.schedule(p, false, Options{})
	for _, tt := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing new", func() {}, false},
		{"price up by 4 %", func() { p.Kappa = p.Kappa * 104 / 100 }, false},
		{"price up by 9 %", func() { p.Kappa = p.Kappa * 106 / 100 }, true},
		{"one gap in a hundred", func() { c.law.Observe(time.Second, Options{}) }, false},
		{"six gaps", func() {
			for range 5 {
				c.law.Observe(time.Second, Options{})
			}
		}, true},
		{"a start takes longer", func() { p.Start *= 2 }, true},
	} {
		tt.do()
		if got := solved(); got != tt.want {
			t.Errorf("%s: solved anew %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestTimerFromTheFirstBeats: from the fourth beat on a timer must be met by a container, at a fraction of the cost
// of keeping one or of having none.
func TestTimerFromTheFirstBeats(t *testing.T) {
	price := Price{Kappa: 4 * time.Second, Start: 800 * time.Millisecond, Lead: 1070 * time.Millisecond}
	for seed := range uint64(20) {
		for _, n := range []int{10, 100} {
			calls := timer(rand.New(rand.NewPCG(seed, 1)), 6*time.Second, 20*time.Millisecond, 50*time.Millisecond, n, 1)
			end := time.Duration(n) * 6 * time.Second
			got := gapBill(newLevels(t), price, calls, end)
			keep := keepBill(price.Kappa+price.Start, price, calls, end)
			none := keepBill(0, price, calls, end)
			if got.colds > 4 || n == 100 && got.total() > .2*keep.total() || got.total() > .8*none.total() {
				t.Errorf("seed %d, %d beats: %d cold, cost %.1f; keep-alive %.1f, nothing %.1f", seed, n, got.colds, got.total(), keep.total(), none.total())
			}
		}
	}
}

// TestPoissonCostsWhatTheBestKeepAliveCosts: where there is nothing to learn but a rate, the law must come close to
// the better of always and never holding.
func TestPoissonCostsWhatTheBestKeepAliveCosts(t *testing.T) {
	for _, rate := range []float64{.003, .01, .05, .2, 1} {
		for _, kappa := range []time.Duration{4 * time.Second, time.Minute} {
			price := Price{Kappa: kappa, Start: time.Second, Lead: 1500 * time.Millisecond}
			end := seconds(3000 / rate)
			calls := poisson(rand.New(rand.NewPCG(31, 32)), rate, 20*time.Millisecond, end)
			got := gapBill(newLevels(t), price, calls, end).total()
			best := min(keepBill(0, price, calls, end).total(), keepBill(end, price, calls, end).total())
			if got > 1.08*best {
				t.Errorf("rate %v, kappa %v: cost %.0f, the best fixed rule %.0f", rate, kappa, got, best)
			}
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	f := newLevels(t)
	price := Price{Kappa: time.Minute, Start: 100 * time.Millisecond}
	es := events(poisson(rand.New(rand.NewPCG(33, 34)), 20, 500*time.Millisecond, 100*time.Second))
	play := func(base time.Duration) {
		for _, e := range es {
			e.at += base
			f.feed(e)
			f.Wanted(e.at, price)
		}
	}
	base := time.Duration(0)
	for range 5 {
		play(base)
		base += 200 * time.Second
	}
	if n := testing.AllocsPerRun(5, func() { play(base); base += 200 * time.Second }); n > 0 {
		t.Errorf("%d events: %v allocs, want 0", len(es), n)
	}
	if !slices.ContainsFunc(f.groups, func(g group) bool { return g.up != nil }) {
		t.Error("no up clock took part")
	}
}
