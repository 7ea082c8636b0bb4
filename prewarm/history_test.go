package prewarm

import (
	"iter"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// timerCalls is a history of calls every period, the last at -since.
func timerCalls(n int, period, since, service time.Duration) iter.Seq2[time.Duration, time.Duration] {
	return func(yield func(start, service time.Duration) bool) {
		for i := range n {
			if !yield(-since-time.Duration(n-1-i)*period, service) {
				return
			}
		}
	}
}

func TestHistoryKnowsTheNextCall(t *testing.T) {
	for _, declareFirst := range []bool{false, true} {
		w := newWorld(t, Options{Kappa: 4 * time.Second}, 500*time.Millisecond)
		f := w.function("acc", "nightly")
		declare := func() {
			if err := w.planner.Declare(0, f.Fn, "acc", "nightly", f.Function.Memory); err != nil {
				t.Fatal(err)
			}
		}
		if declareFirst {
			declare()
		}
		n, err := w.planner.Learn("acc", "nightly", timerCalls(50, time.Minute, 20*time.Second, time.Second))
		if n != 50 || err != nil {
			t.Fatalf("Learn = %d, %v, want 50 calls", n, err)
		}
		if !declareFirst {
			declare()
		}
		for at := 40 * time.Second; at < 10*time.Minute; at += time.Minute {
			w.at(at, func() { w.call(f, time.Second) })
		}
		var ahead time.Duration
		w.onLevel = func(_ *worldFn, want int) {
			if want == 1 && ahead == 0 {
				ahead = w.now
			}
		}
		w.run(10 * time.Minute)
		if w.missed != 0 {
			t.Errorf("declared first %v: %d of %d calls missed, want none, the first included", declareFirst, w.missed, w.calls)
		}
		if ahead < 37*time.Second || ahead > 40*time.Second {
			t.Errorf("declared first %v: first held at %v, want shortly before the call at 40s", declareFirst, ahead)
		}
		if cost := w.cost(); cost > 60 {
			t.Errorf("declared first %v: %v container-seconds spent on ten calls", declareFirst, cost)
		}
	}
}

// A function that is not declared is not wanted, but its first call finds its laws.
func TestHistoryWaitsForTheFunction(t *testing.T) {
	w := newWorld(t, Options{Kappa: 4 * time.Second}, 500*time.Millisecond)
	if _, err := w.planner.Learn("acc", "f", timerCalls(50, 10*time.Second, 5*time.Second, time.Second)); err != nil {
		t.Fatal(err)
	}
	f := w.function("acc", "f")
	for at := 5 * time.Second; at < 2*time.Minute; at += 10 * time.Second {
		w.at(at, func() { w.call(f, time.Second) })
	}
	w.run(2 * time.Minute)
	if w.missed != 1 {
		t.Errorf("%d of %d calls missed, want the first only", w.missed, w.calls)
	}
}

func TestHistoryOfCallsAtOnce(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	history := func(yield func(start, service time.Duration) bool) { // three at once, the last of them for ever
		for i := range 20 {
			at := time.Duration(i-20) * time.Minute
			if !yield(at, time.Second) || !yield(at+time.Millisecond, time.Second) || !yield(at+time.Millisecond, time.Hour) {
				return
			}
		}
	}
	if n, err := p.Learn("a", "f", history); n != 60 || err != nil {
		t.Fatalf("Learn = %d, %v", n, err)
	}
	pl := p.known[key{"a", "f"}]
	if g := pl.policy.(*byGap); pl.busy != 0 || g.levels.Busy() != 0 {
		t.Errorf("%d calls still run after the history, levels say %d; want none", pl.busy, g.levels.Busy())
	}
	if pl.last > 0 {
		t.Errorf("the history ends at %v, after the present", pl.last)
	}
	if rate := pl.rate.Forecast(0).Mean(); math.Abs(rate-.05) > .04 {
		t.Errorf("the rate is %v/s, want about three a minute", rate)
	}
}

func TestLearnForRatePolicies(t *testing.T) {
	for _, m := range []dispatcher.Model{dispatcher.ModelEWMA, dispatcher.ModelHolt, dispatcher.ModelPGMix, dispatcher.ModelReactive} {
		p, err := New(Options{Policy: m})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := p.Learn("a", "f", timerCalls(600, time.Second/2, time.Second, 400*time.Millisecond)); n != 600 || err != nil {
			t.Fatalf("%v: Learn = %d, %v", m, n, err)
		}
		if err := p.Declare(0, 0, "a", "f", cluster.GiB); err != nil {
			t.Fatal(err)
		}
		var out Decisions
		p.Advance(time.Millisecond, &dispatcher.News{}, &out)
		want := 1 // two calls a second, 0.4 s each, at least one of them busy
		if m == dispatcher.ModelReactive {
			want = 0 // it does not forecast
		}
		if len(out.Levels) != 1 || min(1, out.Levels[0].Want) != want {
			t.Errorf("%v: after a history of two calls a second the planner says %+v, want at least %d", m, out.Levels, want)
		}
	}
}

func TestLearnRefusesWhatCameTooLate(t *testing.T) {
	w := newWorld(t, Options{}, time.Second)
	f := w.function("a", "f")
	w.at(0, func() { w.call(f, time.Second) })
	w.run(10 * time.Second)
	if n, err := w.planner.Learn("a", "f", timerCalls(5, time.Minute, 0, time.Second)); n != 0 || err == nil {
		t.Errorf("Learn of a function that was called = %d, %v, want an error", n, err)
	}
	w.planner.Load("a", "g", []byte{1, 0}, time.Hour)
	if n, err := w.planner.Learn("a", "g", timerCalls(5, time.Minute, 0, time.Second)); n != 0 || err != nil {
		t.Errorf("Learn of a function whose state was loaded = %d, %v, want it left alone", n, err)
	}
	future := slices.Values([]time.Duration{w.now + time.Hour})
	n, err := w.planner.Learn("a", "h", func(yield func(start, service time.Duration) bool) {
		for at := range future {
			yield(at, time.Second)
		}
	})
	if n != 0 || err != nil {
		t.Errorf("Learn of calls to come = %d, %v, want none learnt", n, err)
	}
}
