package prewarm

import (
	"math"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

func TestPrices(t *testing.T) {
	p := Prices{Cold: .002, GiBSecond: .00002, NodeSecond: .00004}
	for _, tt := range []struct {
		memory int64
		want   time.Duration
	}{{cluster.GiB, 100 * time.Second}, {128 * cluster.MiB, 800 * time.Second}, {4 * cluster.GiB, 25 * time.Second}} {
		if got := p.kappa(tt.memory); (got - tt.want).Abs() > time.Millisecond {
			t.Errorf("kappa of %d bytes = %v, want %v", tt.memory, got, tt.want)
		}
	}
	if got := p.nodeKappa(3*cluster.GiB, 128*cluster.MiB); (got - 1200*time.Second).Abs() > time.Millisecond {
		t.Errorf("kappa of a node for 24 containers = %v, want 24 cold starts over a node-second", got)
	}
	if got := (Prices{Cold: 1, GiBSecond: 1e-30}).kappa(1); got != kappaMost {
		t.Errorf("kappa where memory is nearly free = %v, want %v", got, kappaMost)
	}
}

func TestPricesAreChecked(t *testing.T) {
	for _, o := range []Options{{Prices: Prices{Cold: 1}}, {Prices: Prices{GiBSecond: 1}}, {Prices: Prices{Cold: -1, GiBSecond: 1}}, {TargetCold: 1}, {TargetCold: -.1}, {TargetCold: math.NaN()}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// Accounts are in money where there are prices, of one function and of all.
func TestAccountIsInMoney(t *testing.T) {
	w := newWorld(t, Options{Prices: Prices{Cold: .002, GiBSecond: .00002}}, time.Second)
	f := w.function("a", "f") // of 1 GiB: kappa 100 s
	w.at(0, func() { w.call(f, time.Second) })
	w.run(20 * time.Second)
	v, _ := w.planner.Forecast(w.now, f.Fn)
	if v.Kappa != 100*time.Second || v.Unit != .00002 {
		t.Errorf("kappa %v, unit %v; want 100s, 0.00002", v.Kappa, v.Unit)
	}
	sum := w.planner.Account(w.now)
	want := .002 + .00002*(v.Spent.Live.Idle.Seconds()+1)
	if math.Abs(sum.Live.Cost-want) > 1e-9 || sum.Live.Missed != 1 || sum.Live.Starts != 1 {
		t.Errorf("in all %+v, want a cost of %v", sum.Live, want)
	}
	if s := sum.Saved(); math.Abs(s) > .05 {
		t.Errorf("saved %v of a call that reactive would have served alike", s)
	}
	var out Decisions
	n := dispatcher.News{Nodes: dispatcher.NodeNews{Memory: 4 * cluster.GiB}}
	w.planner.Advance(w.now, &n, &out)
	if got := w.planner.nodes.kappa; got != 100*time.Second {
		t.Errorf("kappa of nodes without a price of their own = %v, want that of their containers", got)
	}
}
