package prewarm

import (
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast"
	"github.com/forewarm/forewarm/forecast/gap"
)

// nodePlan decides how many nodes to hold, by the rule that also decides containers: the n-th node is a level of
// memory demand, with a law of its idle gaps, held, dropped and reserved again by optimal stopping. The lead is
// the measured time that a reservation takes. A damped trend of the demand at that horizon adds what a ramp will
// need and no law has seen.
//
// Kappa is the same number as for containers where nodes have no price of their own: a node holds NodeMemory/m
// containers of m bytes, each of which may miss, and a node-second is as many container-seconds.
type nodePlan struct {
	kappa  time.Duration // price of having one node too few, in idle seconds of a node
	levels *gap.Levels
	trend  *forecast.Holt // of demand in MiB, taken as a rate per second
	need   int            // nodes that the demand takes now
	fed    time.Duration
	demand int64
	lead   time.Duration
	ahead  float64 // MiB expected at the horizon
	said   dispatcher.NodeTarget
	saidAt time.Duration
	next   time.Duration // when the wanted number changes by time alone
}

func newNodePlan(o Options) (nodePlan, error) {
	levels, err := gap.New(o.Gap)
	if err != nil {
		return nodePlan{}, err
	}
	trend, err := forecast.NewHolt(forecast.HoltOptions{})
	return nodePlan{kappa: o.Kappa, levels: levels, trend: trend, next: gap.Never}, err
}

// Bounds of the horizon at which nodes are planned.
const (
	nodeLeadMin = time.Second
	nodeLeadMax = 2 * time.Minute
	nodeRepeat  = 5 * time.Second // the core drops a target that is not repeated
)

func (p *nodePlan) advance(now time.Duration, n *dispatcher.NodeNews, out *Decisions) {
	if n.Memory == 0 {
		return
	}
	p.observe(now, n)
	w := p.levels.Wanted(now, gap.Price{Kappa: p.kappa, Start: p.lead, Lead: p.lead})
	p.next = w.Next
	t := dispatcher.NodeTarget{Want: w.Busy + w.Idle, Why: dispatcher.Reason{
		Cause: dispatcher.CauseForecast, Model: dispatcher.ModelGap, Level: int32(w.Why.Level), Gaps: int32(w.Why.Gaps),
		Idle: w.Why.Idle, Expect: w.Why.Expect, Prob: w.Why.Prob, Hold: w.Why.Hold, Drop: w.Why.Drop,
		Lead: p.lead, Kappa: p.kappa, Memory: p.demand, Horizon: p.lead,
	}}
	p.ahead = p.trend.Forecast(p.lead).Mean()
	if ramp := nodesFor(int64(p.ahead*(1<<20)), n.Memory); ramp > t.Want && p.need > 0 {
		t.Want = min(ramp, p.need+1) // one at a time: the next round looks again
		t.Why = dispatcher.Reason{Cause: dispatcher.CauseForecast, Model: dispatcher.ModelHolt, Horizon: p.lead, Lead: p.lead, Memory: int64(p.ahead * (1 << 20))}
	}
	t.Why.Want = int32(t.Want)
	if t.Want != p.said.Want || now >= p.saidAt+nodeRepeat || p.saidAt == 0 {
		out.Nodes, out.HasNodes = t, true
		p.said, p.saidAt = t, now
	}
}

// observe follows the number of nodes that the booked and the waiting memory takes.
func (p *nodePlan) observe(now time.Duration, n *dispatcher.NodeNews) {
	p.demand = n.Booked + n.Queued
	p.lead = min(max(n.Lead.P90, nodeLeadMin), nodeLeadMax)
	need := nodesFor(p.demand, n.Memory)
	for ; p.need < need; p.need++ {
		p.levels.Arrive(now)
	}
	for ; p.need > need; p.need-- {
		p.levels.Depart(now)
	}
	if span := now - p.fed; span > 0 {
		p.trend.Observe(int(float64(p.demand)/(1<<20)*span.Seconds()), span)
		p.fed = now
	}
}

func nodesFor(memory, sold int64) int { return int((memory + sold - 1) / sold) }
