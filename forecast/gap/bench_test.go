package gap

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

func BenchmarkObserve(b *testing.B) {
	for _, gap := range []time.Duration{50 * time.Millisecond, 6 * time.Second, time.Hour} {
		b.Run(gap.String(), func(b *testing.B) {
			var l Law
			for b.Loop() {
				l.Observe(gap, Options{})
			}
		})
	}
}

func BenchmarkSolve(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		law  *Law
	}{
		{"unknown", new(Law)},
		{"timer", observed(repeat(6*time.Second, 50)...)},
		{"irregular", lawOf(randomPast(r, 200, 0), Options{})},
		{"mixed", randomLaw(r)},
	} {
		b.Run(c.name, func(b *testing.B) {
			var s Schedule
			for b.Loop() {
				c.law.Solve(Price{Kappa: time.Minute, Start: time.Second}, Options{}, &s)
			}
		})
	}
}

// BenchmarkTransition is what one arrival or departure costs, with the question what is wanted after every one
// (ask), or after every hundredth, about as often as a planner asks (round).
func BenchmarkTransition(b *testing.B) {
	price := Price{Kappa: time.Minute, Start: time.Second}
	es := events(poisson(rand.New(rand.NewPCG(3, 4)), 20, 100*time.Millisecond, 1000*time.Second))
	for _, c := range []struct {
		name  string
		every int
	}{{"ask", 1}, {"round", 100}} {
		b.Run(c.name, func(b *testing.B) {
			f := newLevels(b)
			b.ReportAllocs()
			base, i := time.Duration(0), 0
			for b.Loop() {
				if i == len(es) {
					i, base = 0, base+2000*time.Second
				}
				e := es[i]
				e.at += base
				f.feed(e)
				if i++; i%c.every == 0 {
					f.Wanted(e.at, price)
				}
			}
			b.ReportMetric(float64(f.bytes())/float64(len(f.levels)), "B/level")
		})
	}
}

// bytes is the memory that f holds.
func (f *Levels) bytes() int {
	const step = unsafe.Sizeof(Step{})
	n := unsafe.Sizeof(*f) + uintptr(cap(f.levels))*unsafe.Sizeof(level{}) + uintptr(cap(f.groups))*unsafe.Sizeof(group{})
	n += uintptr(cap(f.none.plan.Steps)) * step
	for _, g := range f.groups {
		for _, c := range []*clock{g.idle, g.up} {
			if c != nil {
				n += unsafe.Sizeof(*c) + uintptr(cap(c.plan.Steps))*step
			}
		}
	}
	return int(n)
}

// BenchmarkTimer reports what a timer's hundred beats cost, relative to a keep-alive of kappa+L.
func BenchmarkTimer(b *testing.B) {
	price := Price{Kappa: 4 * time.Second, Start: 800 * time.Millisecond, Lead: 1070 * time.Millisecond}
	calls := timer(rand.New(rand.NewPCG(1, 2)), 6*time.Second, 20*time.Millisecond, 50*time.Millisecond, 100, 1)
	var got bill
	for b.Loop() {
		got = gapBill(newLevels(b), price, calls, 10*time.Minute)
	}
	keep := keepBill(price.Kappa+price.Start, price, calls, 10*time.Minute)
	b.ReportMetric(float64(got.colds), "cold")
	b.ReportMetric(got.total()/keep.total(), "cost/keep-alive")
}
