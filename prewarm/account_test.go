package prewarm

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

const adversaryService = 100 * time.Millisecond

// adversaries are callers who do what laws cannot know. Each sets up a world with one function.
var adversaries = []struct {
	name string
	play func(w *world, f *worldFn, rng *rand.Rand, call func(), end time.Duration)
}{
	{"calls whenever nothing is held", func(w *world, f *worldFn, _ *rand.Rand, call func(), end time.Duration) {
		w.onLevel = func(_ *worldFn, want int) {
			if want == 0 {
				w.at(w.now+50*time.Millisecond, call)
			}
		}
		w.at(0, call)
	}},
	{"is a timer until the law lets go early, then comes early", func(w *world, f *worldFn, rng *rand.Rand, call func(), end time.Duration) {
		beats := 0
		var beat func()
		beat = func() {
			call()
			beats++
			if beats%12 < 6 {
				w.at(w.now+8*time.Second, beat)
			}
		}
		w.onLevel = func(_ *worldFn, want int) {
			if want == 0 && beats%12 >= 6 {
				w.at(w.now+50*time.Millisecond, beat)
			}
		}
		w.at(0, beat)
	}},
	{"changes its period at random", func(w *world, f *worldFn, rng *rand.Rand, call func(), end time.Duration) {
		period, left := 0.0, 0
		for at := 0.0; at < end.Seconds(); at += period {
			if left--; left < 0 {
				period, left = 2*math.Exp(rng.Float64()*math.Log(100)), rng.IntN(8)
			}
			w.at(time.Duration(at*float64(time.Second)), call)
		}
	}},
	{"comes at random", func(w *world, f *worldFn, rng *rand.Rand, call func(), end time.Duration) {
		for at := 0.0; at < end.Seconds(); at += rng.ExpFloat64() * 25 {
			w.at(time.Duration(at*float64(time.Second)), call)
		}
	}},
}

// play runs an adversary against a planner and returns the world and when calls came.
func play(t *testing.T, i int, seed uint64, o Options, end time.Duration) (*world, []time.Duration) {
	w := newWorld(t, o, 800*time.Millisecond)
	f := w.function("", "f")
	var came []time.Duration
	adversaries[i].play(w, f, rand.New(rand.NewPCG(seed, 3)), func() {
		came = append(came, w.now)
		w.call(f, adversaryService)
	}, end)
	w.run(end)
	return w, came
}

func replayed(t *testing.T, came []time.Duration, o Options, end time.Duration) *world {
	w := newWorld(t, o, 800*time.Millisecond)
	f := w.function("", "f")
	for _, at := range came {
		w.at(at, func() { w.call(f, adversaryService) })
	}
	w.run(end)
	return w
}

// Whatever calls do, a function costs no more than 1.1 times what the reactive policy would have cost, and the price of
// a few misses. The reactive policy gets the very same calls.
func TestForecastsNeverCostMuchMore(t *testing.T) {
	end := 4 * time.Hour
	if testing.Short() {
		end = time.Hour
	}
	for i, a := range adversaries {
		for _, kappa := range []time.Duration{5 * time.Second, 20 * time.Second, time.Minute} {
			for seed := range uint64(3) {
				if seed > 0 && i < 2 {
					continue // those draw nothing
				}
				w, came := play(t, i, seed, Options{Kappa: kappa}, end)
				r := replayed(t, came, Options{Kappa: kappa, Policy: dispatcher.ModelReactive}, end)
				constant := (regretMisses + 4) * (kappa + w.start).Seconds()
				f, _ := w.planner.Forecast(end, 0)
				t.Logf("%s, kappa %v: %.0f spent, reactive %.0f (%.3f); books: live %.0f, forecasts %.0f, reactive %.0f",
					a.name, kappa, w.cost(), r.cost(), w.cost()/r.cost(), f.Spent.Live.Cost, f.Spent.Forecast.Cost, f.Spent.Reactive.Cost)
				if w.cost() > 1.1*r.cost()+constant {
					t.Errorf("%s, kappa %v: %.0f container-seconds spent in %d calls, reactive %.0f: more than 1.1 times that and %.0f",
						a.name, kappa, w.cost(), w.calls, r.cost(), constant)
				}
			}
		}
	}
}

// Without the gate the first adversary would win: the test above is not empty.
func TestAdversaryIsReal(t *testing.T) {
	const end = 4 * time.Hour
	o := Options{Kappa: 20 * time.Second, NoFallback: true}
	w, came := play(t, 0, 0, o, end)
	o.Policy = dispatcher.ModelReactive
	r := replayed(t, came, o, end)
	if w.cost() < 1.3*r.cost() {
		t.Errorf("without the gate %.0f container-seconds are spent, reactive %.0f: no loss to guard against", w.cost(), r.cost())
	}
}

// A world counts what happens, a book what would have in virtual occupancy. Where calls do not overlap, the two agree
// but for the ends and for what happens within rounds.
func TestBooksAgreeWithTheWorld(t *testing.T) {
	const end = 2 * time.Hour
	for i, a := range adversaries {
		for _, policy := range []dispatcher.Model{dispatcher.ModelGap, dispatcher.ModelReactive} {
			w, _ := play(t, i, 5, Options{Kappa: 20 * time.Second, Policy: policy}, end)
			f, _ := w.planner.Forecast(end, 0)
			b := f.Spent.Live
			if d := math.Abs(b.Cost - w.cost()); d > .03*w.cost()+5 {
				t.Errorf("%s under %v: the book says %.1f container-seconds, the world %.1f", a.name, policy, b.Cost, w.cost())
			}
			if d := math.Abs(float64(b.Missed) - float64(w.missed)); d > .02*float64(w.missed)+1 {
				t.Errorf("%s under %v: the book has %d misses, the world %d", a.name, policy, b.Missed, w.missed)
			}
			if d := math.Abs(float64(b.Starts) - float64(w.starts)); d > .04*float64(w.starts)+1 { // a call that waits is over early in virtual occupancy
				t.Errorf("%s under %v: the book has %d starts, the world %d", a.name, policy, b.Starts, w.starts)
			}
			if policy == dispatcher.ModelReactive && math.Abs(f.Spent.Reactive.Cost-b.Cost) > .02*b.Cost {
				t.Errorf("%s: the keep-alive's book says %.1f, that of a planner that is reactive %.1f", a.name, f.Spent.Reactive.Cost, b.Cost)
			}
		}
	}
}

// The gate opens and closes seldom: between two changes of mind lies the price of several misses.
func TestGateDoesNotFlap(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	var g gate
	var live, ahead, keep Book
	flips, was := 0, false
	const miss = 60.0
	for range 100_000 {
		k := rng.Float64() * miss
		a := k * (.5 + rng.Float64()) // as dear on average
		keep.Cost += k
		ahead.Cost += a
		if g.fallen {
			live.Cost += k
		} else {
			live.Cost += a
		}
		if g.settle(&live, &ahead, &keep, miss); g.fallen != was {
			flips, was = flips+1, g.fallen
		}
	}
	if most := int(keep.Cost / (10 * miss)); flips > most/10 {
		t.Errorf("%d changes of mind in the price of %.0f misses", flips, keep.Cost/miss)
	}
	if live.Cost > 1.1*keep.Cost+(regretMisses+2)*miss {
		t.Errorf("%.0f spent, reactive %.0f", live.Cost, keep.Cost)
	}
}
