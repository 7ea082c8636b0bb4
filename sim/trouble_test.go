package sim

import (
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster/model"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// trouble is a World with a planner, audited all the time. Under it a function that is called five times a second is cold
// for the calls of its first second, and never again if all goes well: up to eight.
func trouble(t *testing.T, o Options) *World {
	t.Helper()
	o.Audit = time.Second
	if o.Planner == nil {
		planner, err := prewarm.New(prewarm.Options{})
		must(t, err)
		o.Planner = planner
	}
	if o.Cluster.Start == nil {
		o.Cluster.Start = model.Fixed(500 * time.Millisecond)
	}
	w, err := New(o)
	must(t, err)
	return w
}

// finish runs a World and returns its functions' scores by name.
func finish(t *testing.T, w *World, arrivals iter.Seq[Arrival], until time.Duration) (Score, map[string]FunctionScore) {
	t.Helper()
	s := w.Run(arrivals, until)
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	byName := map[string]FunctionScore{}
	for _, f := range s.Functions {
		byName[f.Name] = f
	}
	return s, byName
}

// once begins at one time only.
func once(at time.Duration) func(*rand.Rand, time.Duration) time.Duration {
	return func(_ *rand.Rand, last time.Duration) time.Duration {
		if last < at {
			return at
		}
		return never
	}
}

// TestDrainDuringABurst empties a node in the middle of a burst: no call fails, nothing is placed there any more, and
// the node is given back when its calls have returned and the planner has done with its containers: levels that are
// wanted keep them where there is no room for others.
func TestDrainDuringABurst(t *testing.T) {
	parts := []part{
		{account: "a", name: "steady", memory: 128, service: 100 * time.Millisecond, begins: atRate(5), calls: one, steadfast: true},
		{account: "a", name: "burst", memory: 256, service: 3 * time.Second, begins: once(2 * time.Minute), calls: many(60), spread: 4 * time.Second, alone: true, steadfast: true},
	}
	w := trouble(t, Options{Seed: 1, Cluster: model.Options{Nodes: 8, Cap: 8, Refill: model.Fixed(10 * time.Second)}})
	drained, there := dispatcher.NodeID(0), 0
	node := func() (i dispatcher.NodeInfo, ok bool) {
		for _, n := range w.core.Cluster(w.loop.Now()).Nodes {
			if n.ID == drained {
				return n, true
			}
		}
		return i, false
	}
	const drain = 2*time.Minute + 3*time.Second
	w.loop.At(drain, func() {
		for _, n := range w.core.Cluster(w.loop.Now()).Nodes {
			if n.Containers > 0 && !n.Releasing {
				drained = n.ID
			}
		}
		var err error
		if there, err = w.core.DrainNode(w.loop.Now(), drained, false, &w.fx); err != nil || there == 0 {
			t.Errorf("draining node %d with %d containers: %v", drained, there, err)
		}
		w.react()
	})
	for after := time.Duration(0); after < 2*time.Minute; after += 500 * time.Millisecond {
		w.loop.At(drain+after, func() {
			switch n, ok := node(); {
			case ok && n.Containers > there:
				t.Errorf("%d containers on the node %v after it was drained with %d", n.Containers, after, there)
			case ok && after > 90*time.Second:
				t.Errorf("the node is held still, with %d containers, %v after it was drained", n.Containers, after)
			default:
				there = n.Containers
			}
		})
	}
	_, f := finish(t, w, load(1, parts, 5*time.Minute), 5*time.Minute)
	if f["burst"].OK != 60 || f["burst"].Wait.Max > 25*time.Second {
		t.Errorf("of the burst %d of 60 calls went well, the longest wait was %v", f["burst"].OK, f["burst"].Wait.Max)
	}
	if s := f["steady"]; s.Failed > 0 || s.Cold > 8 {
		t.Errorf("beside it %d calls failed and %d were cold", s.Failed, s.Cold)
	}
}

// TestFloodLeavesOthersWarm has one function called at ten times what the cluster can serve: its line is bounded and its
// calls are refused, but a warm function beside it, of another account, does not notice.
func TestFloodLeavesOthersWarm(t *testing.T) {
	// 2 nodes of 3 GiB hold 24 containers of 256 MiB, or 24 calls a second.
	flood := part{account: "loud", name: "flood", memory: 256, service: time.Second, begins: atRate(240), calls: one, alone: true, steadfast: true}
	quiet := part{account: "quiet", name: "warm", memory: 128, service: 50 * time.Millisecond, begins: atRate(10), calls: one, steadfast: true}
	parts := []part{quiet, flood}
	parts[1].begins = func(r *rand.Rand, at time.Duration) time.Duration {
		return atRate(240)(r, max(at, 2*time.Minute))
	}
	w := trouble(t, Options{Seed: 3, Core: dispatcher.Options{MaxNodes: 2, MaxLine: 500}, Cluster: model.Options{Nodes: 2, Cap: 2}})
	_, f := finish(t, w, load(3, parts, 5*time.Minute), 5*time.Minute)
	fl, q := f["flood"], f["warm"]
	if served := fl.Warm + fl.Waited + fl.Cold; fl.Failed < fl.Calls/2 || served < 20*150 {
		t.Errorf("of %d calls of the flood %d were served and %d failed, want what two nodes can serve and no more", fl.Calls, served, fl.Failed)
	}
	if fl.Wait.Max > 31*time.Second {
		t.Errorf("a call of the flood waited %v, longer than it may", fl.Wait.Max)
	}
	if q.Failed > 0 || q.Cold+q.Waited > q.Calls/100 || q.Wait.Max > 2*time.Second {
		t.Errorf("beside the flood %d of %d calls failed, %d were cold, %d waited, for %v at most; want it as warm as before",
			q.Failed, q.Calls, q.Cold, q.Waited, q.Wait.Max)
	}
}

// TestManagerAway has the manager silent for a minute in which more nodes are wanted: warm calls go on, it is asked
// again at most once a second, what waits gets its node when it is back, and no node is asked for twice.
func TestManagerAway(t *testing.T) {
	const away, back = 2 * time.Minute, 3 * time.Minute
	parts := []part{
		{account: "a", name: "warm", memory: 128, service: 100 * time.Millisecond, begins: atRate(5), calls: one, steadfast: true},
		{account: "b", name: "late", memory: 1024, service: 10 * time.Second, begins: once(away + 35*time.Second), calls: many(8), alone: true, steadfast: true},
	}
	w := trouble(t, Options{Seed: 4, Core: dispatcher.Options{MaxNodes: 10},
		Cluster: model.Options{Nodes: 10, Cap: 10, Outages: []model.Outage{{From: away, Until: back, Away: true}}}})
	refused, calls := 0, 0
	w.loop.At(back, func() {
		refused = w.held.refused
		calls = w.functions[fnKey{"a", "warm"}].failed
	})
	s, f := finish(t, w, load(4, parts, 5*time.Minute), 5*time.Minute)
	if f["warm"].Failed > 0 || calls > 0 || f["warm"].Cold > 8 {
		t.Errorf("of the warm function %d calls failed and %d were cold", f["warm"].Failed, f["warm"].Cold)
	}
	if refused == 0 || refused > 35 {
		t.Errorf("the manager was asked %d times while it was away and a node was wanted for 25 s, want once a second at most", refused)
	}
	if f["late"].OK != 8 || f["late"].Wait.Max > 30*time.Second {
		t.Errorf("%d of 8 calls that came before it was back went well, the longest wait was %v", f["late"].OK, f["late"].Wait.Max)
	}
	if s.Nodes > 5 || s.NoNode > refused+2 {
		t.Errorf("%d nodes were had and %d reservations refused, %d of them while it was away: a storm when it is back", s.Nodes, s.NoNode, refused)
	}
}

// TestBrokenBesideHealthy calls a function whose starts always fail: it is tried at the pace of the backoff, its calls
// fail, and the healthy ones beside it, on the same nodes, do not notice.
func TestBrokenBesideHealthy(t *testing.T) {
	parts := []part{
		{account: "a", name: "healthy", memory: 128, service: 100 * time.Millisecond, begins: atRate(5), calls: one, steadfast: true},
		{account: "a", name: "timer", memory: 128, service: 200 * time.Millisecond, begins: every(20*time.Second, time.Second), calls: one, steadfast: true},
		{account: "a", name: "broken", memory: 128, service: time.Second, begins: atRate(2), calls: one, broken: true, steadfast: true},
	}
	const length = 20 * time.Minute
	w := trouble(t, Options{Seed: 5, Core: dispatcher.Options{MaxNodes: 3}})
	s, f := finish(t, w, load(5, parts, length), length)
	b := f["broken"]
	if b.OK > 0 || b.Warm+b.Waited+b.Cold > 0 {
		t.Errorf("%+v: calls of a function that never starts went well", b)
	}
	if most := int(length/(5*time.Second)) * 3; b.Containers > most {
		t.Errorf("%d starts of it in %v, want at most %d: a few each 5 s of backoff", b.Containers, length, most)
	}
	for _, name := range []string{"healthy", "timer"} {
		if h := f[name]; h.Failed > 0 || h.Cold > 8 {
			t.Errorf("beside it %d calls of %s failed and %d of %d were cold", h.Failed, name, h.Cold, h.Calls)
		}
	}
	if s.PeakNodes > 1 {
		t.Errorf("%d nodes at the peak for what fits on one", s.PeakNodes)
	}
}

// TestCorrelatedTimers lets twelve timers fire together each two minutes, for four nodes' worth of memory that nothing
// needs in between. The peak is served on the nodes that it takes, they are given back each time, and fewer calls are
// cold than under the keep-alive, which never sees a timer come that is longer than itself.
func TestCorrelatedTimers(t *testing.T) {
	const period, length = 2 * time.Minute, 2 * time.Hour
	var parts []part
	for i := range 12 {
		parts = append(parts, part{account: "a", name: "timer" + string(rune('a'+i)), memory: 512, service: 8 * time.Second,
			begins: every(period, 30*time.Second), calls: many(2), spread: 200 * time.Millisecond, alone: true, steadfast: true})
	}
	run := func(policy dispatcher.Model) Score {
		planner, err := prewarm.New(prewarm.Options{Policy: policy})
		must(t, err)
		w := trouble(t, Options{Seed: 6, Planner: planner, Core: dispatcher.Options{MaxNodes: 8},
			Cluster: model.Options{Nodes: 8, Cap: 8, Reserve: model.Fixed(5 * time.Second), Refill: model.Fixed(5 * time.Second)}})
		s, _ := finish(t, w, load(6, parts, length), length)
		total, held := s.Total, s.NodeTime.Seconds()/length.Seconds()
		t.Logf("%v: %d calls: %d warm, %d waited, %d cold, mean wait %v, max %v; %.2f nodes held in the mean, %d at the peak, %d reservations",
			policy, total.Calls, total.Warm, total.Waited, total.Cold, total.Wait.Mean, total.Wait.Max, held, s.PeakNodes, s.Nodes)
		if total.Failed > 0 || s.PeakNodes < 4 || s.PeakNodes > 6 || held > float64(s.PeakNodes)/2 {
			t.Errorf("%v: %d calls failed, %d nodes at the peak and %.1f in the mean; want none, 4 to 6, and half of them at most",
				policy, total.Failed, s.PeakNodes, held)
		}
		return s
	}
	ahead, reactive := run(dispatcher.ModelGap), run(dispatcher.ModelReactive)
	if ahead.Total.Cold >= reactive.Total.Cold/2 {
		t.Errorf("%d calls are cold with forecasts and %d without, want less than half", ahead.Total.Cold, reactive.Total.Cold)
	}
}
