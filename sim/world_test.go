package sim

import (
	"iter"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/model"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// steady calls one function each gap, n times.
func steady(n int, gap time.Duration, a Arrival) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		for i := range n {
			a.At = time.Duration(i+1) * gap
			if !yield(a) {
				return
			}
		}
	}
}

func sleeper(t time.Duration) Arrival {
	return Arrival{
		Function: cluster.Function{Account: "a", Name: "sleeper", Memory: 128 * cluster.MiB},
		Work:     model.Work{After: t, Memory: cluster.MiB},
		Base:     cluster.MiB,
	}
}

func runWorld(t *testing.T, o Options, arrivals iter.Seq[Arrival], until time.Duration) Score {
	t.Helper()
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := w.Run(arrivals, until)
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	return s
}

func TestSteadyLoadIsColdOnce(t *testing.T) {
	a := sleeper(20 * time.Millisecond)
	a.Concurrency = 1
	s := runWorld(t, Options{Cluster: model.Options{Start: model.Fixed(500 * time.Millisecond)}}, steady(100, time.Second, a), 100*time.Second)
	got := s.Total
	wait := 550 * time.Millisecond // a node in 50 ms, then a start
	if got.OK != 100 || got.Cold != 1 || got.Warm != 99 || got.Wait.Max != wait || got.Wait.Mean != wait/100 || got.Containers != 1 {
		t.Errorf("got %+v, want one cold start of %v in 100 calls", got, wait)
	}
	const held = 99*time.Second + 20*time.Millisecond // from the first call to the end of the last
	if want := held - wait - 100*20*time.Millisecond; got.Idle != want {
		t.Errorf("idle for %v, want %v", got.Idle, want)
	}
	if want := held - 50*time.Millisecond; s.NodeTime != want || s.PeakNodes != 1 {
		t.Errorf("%v of node-time with %d at the peak, want %v and 1", s.NodeTime, s.PeakNodes, want)
	}
}

func TestNoNodeAtFirst(t *testing.T) {
	o := Options{Cluster: model.Options{Nodes: 1, Cap: 2, Refill: model.Fixed(5 * time.Second), Start: model.Fixed(500 * time.Millisecond)}}
	a := sleeper(3 * time.Second)
	a.Concurrency, a.Function.Memory = 1, cluster.GiB // three to a node
	s := runWorld(t, o, steady(6, 10*time.Millisecond, a), 30*time.Second)
	if s.Total.OK != 6 || s.PeakNodes > 2 || s.NoNode == 0 {
		t.Errorf("%d of 6 calls went well on %d nodes after %d refusals, want all, at most 2, and some", s.Total.OK, s.PeakNodes, s.NoNode)
	}
	if s.Total.Wait.Max > 6*time.Second {
		t.Errorf("the longest wait was %v, want at most the refill and a start", s.Total.Wait.Max)
	}
}

func TestPatienceEndsAWait(t *testing.T) {
	a := sleeper(time.Second)
	a.Patience = 100 * time.Millisecond
	s := runWorld(t, Options{}, steady(3, time.Millisecond, a), time.Second)
	if s.Total.Failed != 3 || s.Total.Cold+s.Total.Warm+s.Total.Waited != 0 {
		t.Errorf("got %+v, want three calls that gave up", s.Total)
	}
}

func TestFailedStartsDoNotLoseCalls(t *testing.T) {
	o := Options{Seed: 5, Cluster: model.Options{StartFails: .4}}
	s := runWorld(t, o, steady(200, 100*time.Millisecond, sleeper(2*time.Second)), 30*time.Second)
	if s.Total.OK != 200 {
		t.Errorf("%d of 200 calls went well though starts were tried again", s.Total.OK)
	}
}

func TestNodesThatDieAreReplaced(t *testing.T) {
	o := Options{Seed: 2, Cluster: model.Options{NodeDeaths: 60}}
	s := runWorld(t, o, steady(3000, 100*time.Millisecond, sleeper(200*time.Millisecond)), 5*time.Minute)
	if s.Nodes < 3 || s.Total.Failed == 0 || s.Total.Failed > 60*s.Nodes {
		t.Errorf("%d of 3000 calls failed and %d nodes were had, want a few calls of each node that died, and no other", s.Total.Failed, s.Nodes)
	}
}

// TestSameSeedSameScore runs twice whatever is left to chance: every figure must be the same.
func TestSameSeedSameScore(t *testing.T) {
	run := func(seed uint64) Score {
		o := Options{Seed: seed, Cluster: model.Options{StartFails: .05, NodeDeaths: 10}, Core: dispatcher.Options{MaxNodes: 6}}
		return runWorld(t, o, Workload2020(seed, time.Minute), time.Minute)
	}
	a, b, other := run(1), run(1), run(2)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("the same seed gave\n%+v\nand\n%+v", a, b)
	}
	if reflect.DeepEqual(a, other) {
		t.Error("another seed gave the same score")
	}
}

// holder wants so many levels of function 0 from the first round on, and one node.
type holder struct {
	want   int
	rounds int
	hurry  bool
}

func (h *holder) Advance(now time.Duration, news *dispatcher.News, out *prewarm.Decisions) time.Duration {
	h.rounds++
	for _, f := range news.Functions {
		h.hurry = h.hurry || len(f.Events) >= 256 && now%(500*time.Millisecond) != 0
		out.Levels = append(out.Levels, dispatcher.Level{Fn: f.Fn, Want: h.want, Seen: f.Seq, Why: dispatcher.Reason{Cause: dispatcher.CauseForecast}})
	}
	return now + 500*time.Millisecond
}

func TestPlannerIsHeard(t *testing.T) {
	a := sleeper(20 * time.Millisecond)
	a.Concurrency = 1
	h := &holder{want: 3}
	s := runWorld(t, Options{Planner: h, Core: dispatcher.Options{Kappa: time.Second}}, steady(4, 20*time.Second, a), 90*time.Second)
	if s.Total.Containers != 3 || s.Total.Cold != 1 {
		t.Errorf("%d containers and %d cold calls under a planner that wants 3, want 3 and 1", s.Total.Containers, s.Total.Cold)
	}
	if h.rounds < 180 || h.rounds > 185 {
		t.Errorf("%d rounds in 90 s, want one each half second", h.rounds)
	}
}

func TestHurryBringsAnEarlyRound(t *testing.T) {
	h := &holder{want: 1}
	runWorld(t, Options{Planner: h}, steady(2000, time.Millisecond, sleeper(time.Millisecond)), 3*time.Second)
	if !h.hurry {
		t.Error("no round between the regular ones though the news were half full")
	}
}

func TestSpanReproducesItsFigures(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, s := range []span{{0, 114, 1036}, {166, 997, 1006}, {154, 2884, 7392}, {300, 301, 324}, {1, 1.8, 5}, {1, 19.4, 21}, {900, 900, 900}} {
		const n = 20_000
		var sum, counts float64
		least, most := s.Max, s.Min
		for range n {
			v := s.draw(r)
			sum += v
			counts += float64(s.count(r))
			least, most = min(least, v), max(most, v)
		}
		width := s.Max - s.Min
		if d := sum/n - s.Mean; d*d > width*width*1e-4 {
			t.Errorf("%+v: mean of draws %.2f", s, sum/n)
		}
		if d := counts/n - s.Mean; d*d > width*width*1e-4 {
			t.Errorf("%+v: mean of counts %.2f", s, counts/n)
		}
		if least < s.Min || most > s.Max || least > s.Min+.1*width || most < s.Max-.1*width {
			t.Errorf("%+v: draws lie in [%.1f, %.1f]", s, least, most)
		}
	}
}

// TestWorkload2020Figures holds the generated load against the original's, over its full length. There f9 and f10
// began late; here every function fills the run, but for f15.
func TestWorkload2020Figures(t *testing.T) {
	calls := map[string]int{}
	last := time.Duration(0)
	for a := range Workload2020(1, 1223*time.Second) {
		if a.At < last {
			t.Fatalf("a call at %v comes after one at %v", a.At, last)
		}
		last = a.At
		calls[a.Function.Name]++
		if a.Work.Memory < 0 || a.Base < 0 || a.Base+a.Work.Memory > a.Function.Memory {
			t.Fatalf("%s uses %d and %d of %d bytes", a.Function.Name, a.Base, a.Work.Memory, a.Function.Memory)
		}
	}
	for name, want := range map[string]int{"f1": 8271, "f2": 1055, "f3": 1091, "f7": 885, "f9": 2340, "f13": 10790, "f14": 43004, "f15": 100} {
		if got := calls[name]; float64(got) < .9*float64(want) || float64(got) > 1.18*float64(want) {
			t.Errorf("%s is called %d times, %d in the original", name, got, want)
		}
	}
}
