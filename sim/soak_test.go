package sim

import (
	"flag"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/cluster/model"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

var (
	soakWeek = flag.Bool("soak", false, "let TestSoak run for seven days of virtual time instead of half a one")
	soakSeed = flag.Uint64("soak.seed", 1, "of TestSoak")
)

// soak is a World under the mixed load with all its faults.
type soak struct {
	*World
	planner *prewarm.Planner
	length  time.Duration
	seed    uint64
	t       *testing.T
	sizes   []soakSize // at the end of each day
}

// soakSize is what exists at a moment.
type soakSize struct {
	heap    uint64 // live bytes, but for the list of waits from which the score's quantiles are taken
	core    dispatcher.Sizes
	planner prewarm.Sizes
	events  int // entered in the loop
}

func newSoak(t *testing.T, seed uint64, length time.Duration) *soak {
	t.Helper()
	monday := time.Date(2026, time.January, 5, 0, 0, 0, 0, time.UTC)
	planner, err := prewarm.New(prewarm.Options{Epoch: monday})
	must(t, err)
	must(t, planner.SetBounds("b", "steady", prewarm.Bounds{Min: 1}))
	must(t, planner.SetBounds("b", "burst", prewarm.Bounds{Max: 8}))
	must(t, planner.SetBounds("a", "office", prewarm.Bounds{Calendar: []calendar.Window{{Cron: "0 8 * * MON-FRI", Duration: 10 * time.Hour, Min: 2}}}))
	w, err := New(Options{
		Seed:    seed,
		Planner: planner,
		Core:    dispatcher.Options{MaxNodes: 8},
		Audit:   5 * time.Minute,
		Cluster: model.Options{Nodes: 6, Cap: 10, Start: model.Lognormal(600*time.Millisecond, .4),
			StartFails: .02, StartHangs: .002, NodeDeaths: .25, Outages: outages(seed, length)},
	})
	must(t, err)
	s := &soak{World: w, planner: planner, length: length, seed: seed, t: t}
	mode := func(m prewarm.Mode) func() {
		return func() {
			must(t, planner.SetMode(m))
			w.planBy(w.loop.Now())
		}
	}
	w.loop.At(length/4, mode(prewarm.Shadow))
	w.loop.At(length/4+min(time.Hour, length/8), mode(prewarm.On))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watch notes the size at each period's end.
func (s *soak) watch(period time.Duration) {
	for at := period; at <= s.length; at += period {
		s.loop.At(at-time.Millisecond, func() { s.sizes = append(s.sizes, s.size()) })
	}
}

func (s *soak) size() soakSize {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	waits := 0
	for _, f := range s.order {
		waits += 8 * cap(f.waits)
	}
	return soakSize{heap: m.HeapAlloc - uint64(waits), core: s.core.Sizes(), planner: s.planner.Sizes(), events: s.loop.Waiting()}
}

func (s *soak) run() Score {
	s.t.Helper()
	score := s.Run(load(s.seed, mixed(), s.length), s.length)
	if err := s.Check(); err != nil {
		s.t.Error(err)
	}
	if left := s.core.Sizes(); left != (dispatcher.Sizes{Functions: left.Functions, Due: left.Due}) {
		s.t.Errorf("after the end there are still %+v", left)
	}
	return score
}

// TestSoak runs the scheduler for days of virtual time under a mixed load and faults of every kind: starts that fail and
// hang, nodes that die, calls that run out of memory, a manager without machines or without an answer, callers that
// leave, that vanish, and that never return. The books are compared every five minutes, and nothing may grow.
//
// Half a day by default. The whole week, 3,400,000 calls, takes about half a minute:
//
//	go test ./sim -run '^TestSoak$' -soak -v -timeout 10m
func TestSoak(t *testing.T) {
	length, period := 12*time.Hour, 3*time.Hour
	switch {
	case *soakWeek:
		length, period = 7*24*time.Hour, 24*time.Hour
	case testing.Short():
		length, period = 2*time.Hour, time.Hour
	}
	s := newSoak(t, *soakSeed, length)
	s.watch(period)
	began := time.Now()
	score := s.run()
	took := time.Since(began)
	total := score.Total
	t.Logf("%v, seed %d: %d calls (%d ok, %d warm, %d waited, %d cold, wait p99 %v, max %v), %d starts, %d nodes (%d died, %d refusals), %d events, %d audits in %v",
		length, *soakSeed, total.Calls, total.OK, total.Warm, total.Waited, total.Cold, total.Wait.P99, total.Wait.Max,
		total.Containers, score.Nodes, s.core.Cluster(s.loop.Now()).Lost, score.NoNode, score.Events, s.audits, took.Round(time.Millisecond))
	if *soakWeek {
		must(t, score.Write(t.Output(), time.Minute))
	}
	for i, z := range s.sizes {
		t.Logf("after %v: heap %d KiB, core %+v, planner %+v, %d events", time.Duration(i+1)*period, z.heap>>10, z.core, z.planner, z.events)
	}
	s.grew()
	s.faulted()
}

// grew compares the last size with the first.
func (s *soak) grew() {
	first, last := s.sizes[0], s.sizes[len(s.sizes)-1]
	functions := len(mixed())
	if limit := first.heap + first.heap/4 + 1<<20; last.heap > limit {
		s.t.Errorf("the live heap grew from %d to %d KiB, want at most %d", first.heap>>10, last.heap>>10, limit>>10)
	}
	for _, z := range s.sizes {
		if z.core.Functions > functions || z.core.Due > functions || z.planner.Functions > functions || z.planner.Due > functions {
			s.t.Errorf("there are %d functions, and entries %+v in the core and %+v in the planner, want one each at most", functions, z.core, z.planner)
		}
		if z.core.Names > z.core.Containers || z.core.Orders > 100 || z.planner.Guesses > 1000 {
			s.t.Errorf("names, orders or guesses pile up: %+v %+v", z.core, z.planner)
		}
	}
}

// faulted makes sure that every kind of fault came.
func (s *soak) faulted() {
	var all function
	for _, f := range s.order {
		all.cancelled += f.cancelled
		all.timedOut += f.timedOut
		all.silent += f.silent
		all.orphaned += f.orphaned
		all.unmade += f.unmade
	}
	s.t.Logf("%d cancelled, %d timed out, %d never returned, %d returned after their node was given up, %d starts failed",
		all.cancelled, all.timedOut, all.silent, all.orphaned, all.unmade)
	if s.length < 12*time.Hour {
		return
	}
	if all.cancelled == 0 || all.timedOut == 0 || all.silent == 0 || all.unmade == 0 || s.core.Cluster(s.loop.Now()).Lost == 0 || s.held.refused == 0 {
		s.t.Error("a kind of fault never came: the soak shows less than it says")
	}
}

// TestSoakIsRepeatable runs twice with one seed: every figure must be the same.
func TestSoakIsRepeatable(t *testing.T) {
	length := 3 * time.Hour
	if testing.Short() {
		length = time.Hour
	}
	a, b, other := newSoak(t, 7, length).run(), newSoak(t, 7, length).run(), newSoak(t, 8, length).run()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("one seed gave\n%+v\nand\n%+v", a, b)
	}
	if reflect.DeepEqual(a, other) {
		t.Error("another seed gave the same score")
	}
}
