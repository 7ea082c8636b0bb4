package calendar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// slowWindow knows its fields as sets and looks at every minute; it shares nothing with the package but the rule.
type slowWindow struct {
	Window
	zone                 *time.Location
	minute, hour, dom    []int // empty: any
	dow                  []int
	open                 time.Time // when it last opened
	wasOffset            int
	started, everStarted bool
}

// tick looks at minute t, the one after the last.
func (w *slowWindow) tick(t time.Time) {
	t = t.In(w.zone)
	_, offset := t.Zone()
	opens := w.matches(t)
	if w.started { // wall minutes that were jumped over
		for s := w.wasOffset; s < offset; s += 60 {
			opens = opens || w.matches(t.UTC().Add(time.Duration(s)*time.Second))
		}
	}
	w.wasOffset, w.started = offset, true
	if opens {
		w.open, w.everStarted = t, true
	}
}

func (w *slowWindow) isOpen(t time.Time) bool { return w.everStarted && t.Sub(w.open) < w.Duration }

func (w *slowWindow) matches(wall time.Time) bool {
	in := func(set []int, v int) bool { return len(set) == 0 || slices.Contains(set, v) }
	day := in(w.dom, wall.Day()) && in(w.dow, int(wall.Weekday()))
	if len(w.dom) > 0 && len(w.dow) > 0 {
		day = in(w.dom, wall.Day()) || in(w.dow, int(wall.Weekday()))
	}
	return in(w.minute, wall.Minute()) && in(w.hour, wall.Hour()) && day
}

func randomWindow(rng *rand.Rand, zone *time.Location) *slowWindow {
	some := func(chance float64, low, high, most int) (set []int) {
		if rng.Float64() < chance {
			for range 1 + rng.IntN(most) {
				set = append(set, low+rng.IntN(high-low+1))
			}
		}
		return set
	}
	w := &slowWindow{zone: zone, minute: some(1, 0, 59, 3), dom: some(.2, 1, 31, 3), dow: some(.3, 0, 6, 3)}
	w.hour = some(.5, 0, 23, 2)
	if len(w.hour) == 0 {
		w.hour = some(.9, 0, 3, 2) // where clocks change
	}
	text := func(set []int) string {
		if len(set) == 0 {
			return "*"
		}
		return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(set), "[]")), ",")
	}
	w.Window = Window{Cron: fmt.Sprintf("%s %s %s * %s", text(w.minute), text(w.hour), text(w.dom), text(w.dow)), Zone: zone.String(),
		Duration: time.Duration(1+rng.IntN(300)) * time.Minute, Min: 1 + rng.IntN(4)}
	if rng.IntN(2) == 0 {
		w.Max = w.Min + rng.IntN(4)
	}
	return w
}

type bounds struct {
	floor, ceiling int
	bounded        bool
}

func slowAt(ws []*slowWindow, t time.Time) (b bounds) {
	for _, w := range ws {
		if w.isOpen(t) {
			b = bounds{max(b.floor, w.Min), max(b.ceiling, w.Max), b.bounded || w.Max > 0}
		}
	}
	if b.bounded {
		b.ceiling = max(b.ceiling, b.floor)
	}
	return b
}

// TestAgainstMinuteByMinute compares a Calendar with one that looks at every minute of two years.
func TestAgainstMinuteByMinute(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		seeds := uint64(3)
		if testing.Short() {
			seeds = 1
		}
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Parallel()
				compare(t, zone, rand.New(rand.NewPCG(seed, 7)))
			})
		}
	}
}

func compare(t *testing.T, zone *time.Location, rng *rand.Rand) {
	var slow []*slowWindow
	var windows []Window
	for range 3 {
		w := randomWindow(rng, zone)
		slow, windows = append(slow, w), append(windows, w.Window)
	}
	c := mustRead(t, windows...)
	begin := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	years := 2
	if testing.Short() {
		years = 1
	}
	from, to := begin.AddDate(0, 0, 5), begin.AddDate(years, 0, 5) // five days for windows that are open at first
	type change struct {
		at time.Time
		b  bounds
	}
	var changes []change
	var asked []time.Time
	var was bounds
	lastOffset := 0
	near := 0 // minutes for which every one is compared
	for m := begin; m.Before(to); m = m.Add(time.Minute) {
		for _, w := range slow {
			w.tick(m)
		}
		if m.Before(from) {
			continue
		}
		b := slowAt(slow, m)
		if _, o := m.In(zone).Zone(); o != lastOffset {
			lastOffset, near = o, 600
		}
		if m.Equal(from) || b != was {
			changes, was = append(changes, change{m, b}), b
			near = max(near, 2)
		}
		if near--; near > 0 || rng.IntN(500) == 0 {
			if f, x, ok := c.At(m); (bounds{f, x, ok}) != b {
				t.Fatalf("%v: At(%s) = %d %d %v, want %+v", windows, m.In(zone), f, x, ok, b)
			}
			asked = append(asked, m.Add(time.Duration(rng.IntN(60))*time.Second))
		}
	}
	i := 0
	for _, q := range asked {
		for i < len(changes) && !changes[i].at.After(q) {
			i++
		}
		if i == len(changes) {
			break
		}
		got := c.NextChange(q)
		if !got.Equal(changes[i].at) && !hidden(c, q, got, changes[i].at) {
			t.Fatalf("%v: NextChange(%s) = %s, want %s", windows, q.In(zone), got.In(zone), changes[i].at.In(zone))
		}
	}
	t.Logf("%d changes, %d times compared", len(changes), len(asked))
}

// A stretch of time has the largest floor of its moments.
func TestFloorWithinAgainstEdges(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c := mustRead(t, randomWindow(rng, zone).Window, randomWindow(rng, zone).Window)
		for range 50 {
			from := time.Date(2026, 3, 20, 0, 0, rng.IntN(20*86400), 0, time.UTC)
			to := from.Add(time.Duration(rng.IntN(600)) * time.Minute)
			want, _, _ := c.At(from)
			for e := c.NextEdge(from); !e.IsZero() && !e.After(to); e = c.NextEdge(e) {
				floor, _, _ := c.At(e)
				want = max(want, floor)
			}
			if got := c.FloorWithin(from, to); got != want {
				t.Fatalf("%v, %v: FloorWithin(%v, %v) = %d, want %d", c.windows[0].Window, c.windows[1].Window, from, to, got, want)
			}
			if s := c.NextOpening(from); !s.IsZero() && s.Before(c.NextEdge(from)) {
				t.Fatalf("NextOpening(%v) = %v, before the next edge", from, s)
			}
		}
	}
}

// hidden says whether got is the last of so many edges without a change that NextChange may stop there.
func hidden(c *Calendar, q, got, want time.Time) bool {
	edges := 0
	for e := c.NextEdge(q); !e.After(got); e = c.NextEdge(e) {
		edges++
	}
	return edges == hiddenEdges && got.Before(want)
}
