package prewarm

import (
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

func TestParseMode(t *testing.T) {
	for m := On; m <= Off; m++ {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("ParseMode(%v) = %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("maybe"); err == nil {
		t.Error(`mode "maybe" is taken`)
	}
	if _, err := New(Options{Mode: 3}); err == nil {
		t.Error("mode 3 is taken")
	}
}

// In shadow and off, what is done is what the reactive policy does.
func TestShadowIsReactive(t *testing.T) {
	const end = 20 * time.Minute
	run := func(o Options) *world {
		o.Kappa = 15 * time.Second
		w := newWorld(t, o, 800*time.Millisecond)
		f := w.function("", "f")
		for at := time.Duration(0); at < end; at += 20 * time.Second {
			for range 2 {
				w.at(at, func() { w.call(f, 300*time.Millisecond) })
			}
		}
		w.run(end)
		return w
	}
	reactive, shadow, off, on := run(Options{Policy: dispatcher.ModelReactive}), run(Options{Mode: Shadow}), run(Options{Mode: Off}), run(Options{})
	for _, w := range []*world{shadow, off} {
		if w.missed != reactive.missed || w.starts != reactive.starts || (w.idle-reactive.idle).Abs() > time.Second {
			t.Errorf("mode %v: %d missed, %d starts, %v idle; reactive %d, %d, %v", w.planner.Mode(), w.missed, w.starts, w.idle, reactive.missed, reactive.starts, reactive.idle)
		}
	}
	f, _ := shadow.planner.Forecast(end, 0)
	would, did := f.Spent.Forecast, on.cost()
	if d := would.Cost - did; d > .1*did || -d > .1*did {
		t.Errorf("shadow says that forecasts would have cost %.1f; switched on they cost %.1f", would.Cost, did)
	}
	if would.Ahead == 0 || would.Met == 0 || would.Missed > 8 {
		t.Errorf("shadow says that forecasts would have started %d ahead, met %d and missed %d", would.Ahead, would.Met, would.Missed)
	}
	if f, _ := off.planner.Forecast(end, 0); f.Spent.Forecast != (Book{}) || f.Ahead != 0 {
		t.Errorf("off, forecasts are still recorded: %+v", f.Spent.Forecast)
	}
}

func TestModeIsSwitchedLive(t *testing.T) {
	const end = 10 * time.Minute
	w := newWorld(t, Options{Kappa: 15 * time.Second, Mode: Off}, 800*time.Millisecond)
	f := w.function("", "f")
	for at := time.Duration(0); at < 3*end; at += 20 * time.Second {
		w.at(at, func() { w.call(f, 300*time.Millisecond) })
	}
	misses := func(m Mode) int {
		if err := w.planner.SetMode(m); err != nil {
			t.Fatal(err)
		}
		before := w.missed
		w.run(w.now + end)
		return w.missed - before
	}
	if n := misses(Off); n < 25 {
		t.Errorf("off, %d of 30 calls missed, want nearly all: the keep-alive ends before the next", n)
	}
	if n := misses(On); n > 2 {
		t.Errorf("on, %d of 30 calls missed, want two at most: the laws have learnt while off", n)
	}
	if n := misses(Shadow); n < 25 {
		t.Errorf("in shadow, %d of 30 calls missed, want nearly all", n)
	}
	if err := w.planner.SetMode(7); err == nil {
		t.Error("mode 7 is taken")
	}
}
