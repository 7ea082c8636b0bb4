package prewarm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// mixedLoad lets an account's functions be called: timers, functions that are called at random, and now and then a
// burst of burst calls at once of one function.
func mixedLoad(w *world, account string, rng *rand.Rand, burst int, end time.Duration) {
	calls := func(f *worldFn, gap func() float64, n int) {
		for at := gap(); at < end.Seconds(); at += gap() {
			for range n {
				w.at(time.Duration(at*float64(time.Second)), func() { w.call(f, 200*time.Millisecond) })
			}
		}
	}
	for i := range 30 {
		mean := math.Exp(rng.Float64() * math.Log(600)) // a second to ten minutes
		calls(w.function(account, fmt.Sprint("random", i)), func() float64 { return rng.ExpFloat64() * mean }, 1)
	}
	for i, period := range []float64{15, 60, 300} {
		calls(w.function(account, fmt.Sprint("timer", i)), func() float64 { return period }, 1)
	}
	if burst > 0 {
		calls(w.function(account, "bursty"), func() float64 { return 1800 * (.5 + rng.Float64()) }, burst)
	}
}

func TestColdShareTendsToTarget(t *testing.T) {
	for _, tt := range []struct {
		target float64
		burst  int
	}{{.01, 0}, {.01, 30}, {.03, 0}, {.05, 20}} {
		if testing.Short() && tt.target != .05 {
			continue
		}
		const end = 8 * time.Hour
		w := newWorld(t, Options{TargetCold: tt.target}, time.Second)
		mixedLoad(w, "acc", rand.New(rand.NewPCG(4, 4)), tt.burst, end)
		w.run(end / 2)
		calls, cold := w.calls, w.missed
		low, high := math.Inf(1), 0.0
		for h := end / 2; h <= end; h += 5 * time.Minute {
			w.run(h)
			w.planner.Tenants(func(k Tenant) bool {
				low, high = min(low, k.Kappa.Seconds()), max(high, k.Kappa.Seconds())
				return true
			})
		}
		share := float64(w.missed-cold) / float64(w.calls-calls)
		t.Logf("target %v, bursts of %d: %.4f of %d calls cold in the second half, kappa %.0f..%.0f s, cost %.0f", tt.target, tt.burst, share, w.calls-calls, low, high, w.cost())
		if share < .8*tt.target || share > 1.2*tt.target {
			t.Errorf("target %v, bursts of %d: %.4f of calls are cold in the second half", tt.target, tt.burst, share)
		}
		if high > 30*low {
			t.Errorf("target %v, bursts of %d: kappa swings from %.0f s to %.0f s", tt.target, tt.burst, low, high)
		}
	}
}

func TestAccountsLearnApart(t *testing.T) {
	w := newWorld(t, Options{TargetCold: .02}, time.Second)
	const end = 3 * time.Hour
	busy := w.function("busy", "f")
	for at := time.Duration(0); at < end; at += 500 * time.Millisecond {
		w.at(at, func() { w.call(busy, 100*time.Millisecond) })
	}
	rare := w.function("rare", "f")
	rng := rand.New(rand.NewPCG(1, 1))
	for at := 0.0; at < end.Seconds(); at += rng.ExpFloat64() * 120 {
		w.at(time.Duration(at*float64(time.Second)), func() { w.call(rare, 100*time.Millisecond) })
	}
	w.run(end)
	kappas := map[string]time.Duration{}
	w.planner.Tenants(func(k Tenant) bool { kappas[k.Account] = k.Kappa; return true })
	if kappas["busy"] >= time.Minute || kappas["rare"] <= time.Minute {
		t.Errorf("learnt %v: want less than a minute for the busy account, more for the rare one", kappas)
	}
	if f, _ := w.planner.Forecast(end, rare.Fn); f.Kappa < kappas["rare"]/2 {
		t.Errorf("the rare function goes by %v, its account by %v", f.Kappa, kappas["rare"])
	}
}

func TestKappaStaysWithinBounds(t *testing.T) {
	k := newTenant(time.Minute)
	for range 10_000 {
		k.observe(10, 10, .01)
	}
	if got := k.kappa(); got < kappaMax-time.Second || got > kappaMax+time.Second {
		t.Errorf("after calls that were all cold kappa is %v, want %v", got, kappaMax)
	}
	for range 100_000 {
		k.observe(10, 0, .5)
	}
	if got := k.kappa(); got != kappaMin {
		t.Errorf("after calls that were all warm kappa is %v, want %v", got, kappaMin)
	}
	k.observe(100, 100, .01) // no wound-up memory of how warm it was
	if got := k.kappa(); got < 5*time.Second {
		t.Errorf("after a hundred cold calls kappa is still %v", got)
	}
}

// Calls of a function that may not have what it wants do not drive kappa up.
func TestCeilingDoesNotTeach(t *testing.T) {
	w := newWorld(t, Options{TargetCold: .02}, time.Second)
	f := w.function("a", "f")
	if err := w.planner.SetBounds("a", "f", Bounds{Paused: true}); err != nil {
		t.Fatal(err)
	}
	for at := time.Duration(0); at < time.Hour; at += 10 * time.Second {
		w.at(at, func() { w.call(f, 100*time.Millisecond) })
	}
	w.run(time.Hour)
	w.planner.Tenants(func(k Tenant) bool {
		if k.Calls > 1 { // the first news comes before its limits are looked at
			t.Errorf("kappa learnt %v from %d calls of a paused function", k.Kappa, k.Calls)
		}
		return true
	})
}
