package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// live is a real core, whose orders are carried out by obey.
type live struct {
	*dispatcher.Core
	t   *testing.T
	now time.Duration
	fx  dispatcher.Effects
}

func newLive(t *testing.T) *live {
	t.Helper()
	c, err := dispatcher.New(dispatcher.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &live{Core: c, t: t}
}

func (l *live) Now() time.Duration { return l.now }

// ok takes the error of a call of the core that must not fail.
func (l *live) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *live) acquire(fn, id string) dispatcher.Lease {
	l.t.Helper()
	lease, _, err := l.Acquire(l.now, dispatcher.Request{ID: id, Concurrency: 1,
		Function: cluster.Function{Account: "alice", Name: fn, Memory: 128 * cluster.MiB, Timeout: time.Minute}}, &l.fx)
	l.ok(err)
	return lease
}

// giveBack returns a lease when d has passed.
func (l *live) giveBack(lease dispatcher.Lease, id string, d time.Duration) {
	l.t.Helper()
	l.now += d
	l.ok(l.Return(l.now, dispatcher.Returned{RequestID: id, ContainerID: lease.ContainerID}, &l.fx))
}

// obey carries out the orders that are out, not those that follow from them, and hands over the grants.
func (l *live) obey() []dispatcher.Grant {
	l.t.Helper()
	orders := l.fx.Orders
	l.fx.Orders = nil
	for _, o := range orders {
		switch o.Kind {
		case dispatcher.ReserveNode:
			l.ok(l.NodeReady(l.now, o.ID, cluster.Node{ID: fmt.Sprint("n", o.ID), Memory: 3 * cluster.GiB}, &l.fx))
		case dispatcher.StartContainer:
			l.ok(l.Started(l.now, o.ID, fmt.Sprint("c", o.Container), &l.fx))
		default:
			l.t.Fatalf("nothing should be stopped here: %+v", o)
		}
	}
	grants := l.fx.Grants
	l.fx.Grants = nil
	return grants
}

// fewCalls: one call of hello that is cold for 2 s and served for 1 s, three warm ones, one that is still there, and
// another function whose first call is being waited for.
func fewCalls(t *testing.T) *live {
	l := newLive(t)
	l.acquire("hello", "cold")
	l.obey() // a node
	l.now += 2 * time.Second
	l.giveBack(l.obey()[0].Lease, "cold", time.Second)
	for i := range 3 {
		id := fmt.Sprint("warm-", i)
		l.giveBack(l.acquire("hello", id), id, 10*time.Millisecond)
	}
	l.acquire("hello", "stays")
	l.acquire("slow", "waits")
	return l
}

func TestRealCore(t *testing.T) {
	l := fewCalls(t)
	families := gather(t, newCollector(t, Options{Core: l.Core, Now: l.Now}))
	for _, tt := range []struct {
		metric, labels string
		want           float64
	}{
		{"forewarm_calls_total", "function=hello,account=alice,start=warm", 4},
		{"forewarm_calls_total", "function=hello,account=alice,start=waited", 0},
		{"forewarm_calls_total", "function=hello,account=alice,start=cold", 1},
		{"forewarm_call_wait_seconds", "function=hello", 5},
		{"forewarm_returns_total", "function=hello", 4},
		{"forewarm_leased", "function=hello", 1},
		{"forewarm_waiting", "function=slow", 1},
		{"forewarm_containers", "function=hello,state=ready", 1},
		{"forewarm_containers", "function=hello,state=idle", 0},
		{"forewarm_containers", "function=slow,state=starting", 1},
		{"forewarm_container_starts_total", "function=hello", 1},
		{"forewarm_container_seconds_total", "function=hello,state=busy", 1.03},
		{"forewarm_container_seconds_total", "function=hello,state=starting", 2},
		{"forewarm_nodes", "state=live", 1},
		{"forewarm_node_reservations_total", "", 1},
		{"forewarm_node_memory_bytes", "", float64(3 * cluster.GiB)},
		{"forewarm_node_memory_booked_bytes", "", float64(256 * cluster.MiB)},
	} {
		if got := value(t, families, tt.metric, tt.labels); got != tt.want {
			t.Errorf("%s{%s} is %v, want %v", tt.metric, tt.labels, got, tt.want)
		}
	}
	for _, m := range families["forewarm_call_wait_seconds"].Metric {
		if got := m.Histogram.GetSampleSum(); matches(m, "function=hello") && got != 2 {
			t.Errorf("calls of hello waited %v s in all, want 2", got)
		}
	}
	if got := value(t, families, "forewarm_start_time_seconds", "function=hello,q=0.5"); got < 1.7 || got > 2.3 {
		t.Errorf("half of the starts of hello took %v s, want about 2", got)
	}
}

// TestRealPlanner reads a planner through its controller, as a live scheduler does.
func TestRealPlanner(t *testing.T) {
	l := fewCalls(t)
	p, err := prewarm.New(prewarm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctrl := prewarm.NewController(p, nil, nil, nil) // it is not run: a round is played below
	var news dispatcher.News
	var out prewarm.Decisions
	l.News(l.now, &news)
	ctrl.View(func(p *prewarm.Planner) { p.Advance(l.now, &news, &out) })
	for _, level := range out.Levels {
		l.ok(l.SetLevel(l.now, level, &l.fx))
	}
	families := gather(t, newCollector(t, Options{Core: l.Core, Now: l.Now, Planner: OfController(ctrl)}))
	if got := value(t, families, "forewarm_forecast_rate", "function=hello"); got <= 0 {
		t.Errorf("%v calls of hello are expected per second, want some: it was called five times", got)
	}
	if got := value(t, families, "forewarm_wanted_levels", "function=hello"); got < 1 {
		t.Errorf("%v levels of hello are wanted, want at least the one in use", got)
	}
	if got := value(t, families, "forewarm_planner_rounds_total", ""); got != 0 {
		t.Errorf("%v rounds are told, want none: the controller did not run", got)
	}
}
