package prewarm

import (
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

func TestSetBoundsRefuses(t *testing.T) {
	window := func(low, high int) []calendar.Window {
		return []calendar.Window{{Cron: "@hourly", Duration: time.Minute, Min: low, Max: high}}
	}
	epoch := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		bounds Bounds
		epoch  time.Time
		want   string
	}{
		{Bounds{Min: -1}, epoch, "must not be negative"},
		{Bounds{Min: 3, Max: 2}, epoch, "min 3 is above max 2; raise max"},
		{Bounds{Min: 3, Calendar: window(1, 2)}, epoch, `window 1 ("@hourly"): max 2 is below the function's min 3`},
		{Bounds{Max: 3, Calendar: window(4, 0)}, epoch, `window 1 ("@hourly"): min 4 is above the function's max 3`},
		{Bounds{Calendar: window(5, 4)}, epoch, "min 5 is above max 4"},
		{Bounds{Calendar: window(1, 0)}, time.Time{}, "Options.Epoch"},
	} {
		p, err := New(Options{Epoch: tt.epoch})
		if err != nil {
			t.Fatal(err)
		}
		err = p.SetBounds("acc", "f", tt.bounds)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `"f"`) {
			t.Errorf("SetBounds(%+v) = %v, want %q and the function's name", tt.bounds, err, tt.want)
		}
	}
}

func declared(t *testing.T, o Options, b Bounds) *Planner {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetBounds("acc", "f", b); err != nil {
		t.Fatal(err)
	}
	if err := p.Declare(0, 3, "acc", "f", cluster.GiB); err != nil {
		t.Fatal(err)
	}
	return p
}

// Next leads from edge to edge: between them the planner needs no more looks than rounds.
func TestWindowsAreDue(t *testing.T) {
	p := declared(t, Options{Epoch: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Start: 2 * time.Second, RoundMax: time.Hour},
		Bounds{Min: 1, Calendar: []calendar.Window{{Cron: "5 12 * * *", Duration: time.Minute, Min: 4}}})
	var out Decisions
	type look struct {
		at   time.Duration
		want int
	}
	var looks []look
	now, want := time.Duration(0), 0
	for now < 10*time.Minute {
		next := p.Advance(now, &dispatcher.News{}, &out)
		for _, l := range out.Levels {
			if want = l.Want; l.Fn != 3 || l.Why.Cause != dispatcher.CauseMinimum {
				t.Fatalf("at %v the planner says %+v", now, l)
			}
			looks = append(looks, look{now, want})
		}
		now = next
	}
	wants := []look{{0, 1}, {5*time.Minute - 2*time.Second, 4}, {6 * time.Minute, 1}}
	if len(looks) != 3 || looks[0] != wants[0] || looks[1] != wants[1] || looks[2] != wants[2] {
		t.Errorf("levels %v, want %v: a lead of 2s before 12:05, and back at 12:06", looks, wants)
	}
}

func TestEpochMovesWindows(t *testing.T) {
	p := declared(t, Options{Epoch: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		Bounds{Calendar: []calendar.Window{{Cron: "0 15 * * *", Duration: time.Hour, Min: 4}}})
	var out Decisions
	p.Advance(0, &dispatcher.News{}, &out)
	p.SetEpoch(time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)) // the clock had been three hours slow
	p.Advance(time.Second, &dispatcher.News{}, &out)
	if len(out.Levels) != 1 || out.Levels[0].Want != 4 {
		t.Errorf("after the clock was set the planner says %+v, want 4", out.Levels)
	}
	if f, ok := p.Forecast(time.Second, 3); !ok || f.Floor != 4 || f.Want != 4 || f.Ahead != 0 {
		t.Errorf("the view has floor %d, want %d, ahead %d; want 4, 4, 0", f.Floor, f.Want, f.Ahead)
	}
}

// News without events declares a function, as Declare does.
func TestNewsDeclares(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetBounds("acc", "f", Bounds{Min: 2}); err != nil {
		t.Fatal(err)
	}
	var out Decisions
	p.Advance(0, &dispatcher.News{Functions: []dispatcher.FunctionNews{{Fn: 1, Function: &cluster.Function{Account: "acc", Name: "f"}}}}, &out)
	if len(out.Levels) != 1 || out.Levels[0].Fn != 1 || out.Levels[0].Want != 2 {
		t.Errorf("the planner says %+v, want 2 for function 1", out.Levels)
	}
	if err := p.SetBounds("acc", "f", Bounds{}); err != nil {
		t.Fatal(err)
	}
	p.Advance(time.Second, &dispatcher.News{}, &out)
	if len(out.Levels) != 1 || out.Levels[0].Want != 0 || len(p.limits) != 0 {
		t.Errorf("without bounds the planner says %+v and keeps %d bounds, want 0 and none", out.Levels, len(p.limits))
	}
}

// A function that comes back under another number keeps what is known of it.
func TestFunctionComesBack(t *testing.T) {
	w := newWorld(t, Options{Kappa: 4 * time.Second}, 500*time.Millisecond)
	f := w.function("acc", "f")
	for at := time.Duration(0); at < 5*time.Minute; at += 10 * time.Second {
		w.at(at, func() { w.call(f, 100*time.Millisecond) })
	}
	w.run(5 * time.Minute)
	g := w.function("acc", "f")
	for at := 5 * time.Minute; at < 10*time.Minute; at += 10 * time.Second {
		w.at(at, func() { w.call(g, 100*time.Millisecond) })
	}
	w.run(10 * time.Minute)
	if g.missed > 2 {
		t.Errorf("%d of %d calls missed after the function came back, want two at most", g.missed, g.calls)
	}
	if _, ok := w.planner.Forecast(w.now, f.Fn); ok {
		t.Error("the old number is still known")
	}
}
