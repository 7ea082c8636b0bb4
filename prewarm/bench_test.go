package prewarm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// crowd is many functions, of which some have news in each round.
type crowd struct {
	planner *Planner
	news    dispatcher.News
	every   []dispatcher.FunctionNews
	out     Decisions
	now     time.Duration
	rng     *rand.Rand
	levels  int
}

func newCrowd(t testing.TB, n int, o Options) *crowd {
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{planner: p, every: make([]dispatcher.FunctionNews, n), rng: rand.New(rand.NewPCG(1, 2))}
	half := dispatcher.Times{N: 50, P10: time.Second / 2, P50: time.Second / 2, P90: time.Second, P99: time.Second}
	for i := range c.every {
		c.every[i] = dispatcher.FunctionNews{Fn: dispatcher.FnID(i), Function: &cluster.Function{Account: fmt.Sprint(i % 10), Name: fmt.Sprint(i), Memory: cluster.GiB},
			Start: half, ServiceMean: 100 * time.Millisecond, Events: make([]dispatcher.Event, 4)}
	}
	return c
}

// round lets a stretch of n functions have two calls each.
func (c *crowd) round(from, n int) {
	c.news.Functions = c.news.Functions[:0]
	for i := range n {
		f := &c.every[(from+i)%len(c.every)]
		f.Seq += 4
		for j := range f.Events {
			f.Events[j] = dispatcher.Event{At: c.now + time.Duration(j)*time.Millisecond, Kind: [...]dispatcher.EventKind{dispatcher.Arrived, dispatcher.Left}[j%2]}
		}
		c.news.Functions = append(c.news.Functions, *f)
	}
	c.now += 200 * time.Millisecond
	c.planner.Advance(c.now, &c.news, &c.out)
	c.levels += len(c.out.Levels)
}

// BenchmarkAdvance is a round in which n of 10,000 functions have news.
func BenchmarkAdvance(b *testing.B) {
	for _, n := range []int{0, 100, 10_000} {
		for _, mode := range []Mode{On, Shadow, Off} {
			b.Run(fmt.Sprintf("%d-of-10000/%v", n, mode), func(b *testing.B) {
				c := newCrowd(b, 10_000, Options{Mode: mode})
				for range 30 {
					c.round(0, len(c.every))
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					c.round(i, n)
					i += n
				}
				if n > 0 {
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/function")
				}
			})
		}
	}
}

func TestAdvanceAllocatesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes thousands of rounds until laws have stopped growing")
	}
	for _, o := range []Options{{}, {Mode: Shadow}, {TargetCold: .01}, {Policy: dispatcher.ModelEWMA}, {Epoch: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		c := newCrowd(t, 100, o)
		if !o.Epoch.IsZero() {
			for i := range c.every {
				f := c.every[i].Function
				w := calendar.Window{Cron: "* * * * *", Duration: 10 * time.Second, Min: 2, Zone: "Europe/Berlin"}
				if err := c.planner.SetBounds(f.Account, f.Name, Bounds{Max: 3, Calendar: []calendar.Window{w}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		i := 0
		step := func() { c.round(i, 50); i += 50 }
		for range 600 {
			step()
		}
		if n := testing.AllocsPerRun(300, step); n > 0 {
			t.Errorf("%+v: a round allocates %v times", o, n)
		}
	}
}
