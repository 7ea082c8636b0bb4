package prewarm

import (
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast"
	"github.com/forewarm/forewarm/forecast/gap"
)

// policy follows one function's virtual occupancy and says how many idle levels want a container.
type policy interface {
	arrive(at time.Duration)
	depart(at time.Duration)
	want(now time.Duration, p price) verdict
}

// price is what a policy weighs.
type price struct {
	gap.Price
	service time.Duration // mean time that a call keeps a container
}

// verdict is a policy's answer: idle levels wanted, when that may change by time alone, and why.
type verdict struct {
	busy, idle int
	next       time.Duration
	worth      float64
	why        dispatcher.Reason
}

func newPolicy(o *Options) (policy, error) {
	switch o.Policy {
	case dispatcher.ModelGap:
		l, err := gap.New(o.Gap)
		return &byGap{l}, err
	case dispatcher.ModelReactive:
		return &reactive{}, nil
	case dispatcher.ModelEWMA:
		m, err := forecast.NewEWMA(forecast.EWMAOptions{})
		return &byRate{model: m, kind: o.Policy, round: o.RoundMax}, err
	case dispatcher.ModelHolt:
		m, err := forecast.NewHolt(forecast.HoltOptions{})
		return &byRate{model: m, kind: o.Policy, round: o.RoundMax}, err
	default:
		m, err := forecast.NewPGMix(forecast.PGMixOptions{})
		return &byRate{model: m, kind: o.Policy, round: o.RoundMax}, err
	}
}

// byGap holds levels by the laws of their idle gaps.
type byGap struct{ levels *gap.Levels }

func (g *byGap) arrive(at time.Duration) { g.levels.Arrive(at) }
func (g *byGap) depart(at time.Duration) { g.levels.Depart(at) }

func (g *byGap) want(now time.Duration, p price) verdict {
	w := g.levels.Wanted(now, p.Price)
	return verdict{busy: w.Busy, idle: w.Idle, next: w.Next, worth: max(0, w.Why.Drop-w.Why.Hold), why: dispatcher.Reason{
		Model: dispatcher.ModelGap, Level: int32(w.Why.Level), Gaps: int32(w.Why.Gaps), Idle: w.Why.Idle, Expect: w.Why.Expect,
		Prob: w.Why.Prob, Hold: w.Why.Hold, Drop: w.Why.Drop,
	}}
}

// reactive holds every level for kappa plus a start after its last use: the best keep-alive without learning.
type reactive struct {
	busy  int
	since []time.Duration // when each level fell idle
}

func (r *reactive) arrive(time.Duration) {
	if r.busy++; r.busy > len(r.since) {
		r.since = append(r.since, 0)
	}
}

func (r *reactive) depart(at time.Duration) {
	if r.busy > 0 {
		r.busy--
		r.since[r.busy] = at
	}
}

func (r *reactive) want(now time.Duration, p price) verdict {
	keep := p.Kappa + p.Start
	v := verdict{busy: r.busy, next: gap.Never, why: dispatcher.Reason{Model: dispatcher.ModelReactive, Horizon: keep}}
	for k := len(r.since) - 1; k >= r.busy; k-- { // higher levels have been idle for longer
		end := r.since[k] + keep
		if end <= now {
			r.since = r.since[:k]
			continue
		}
		v.idle++
		v.next = min(v.next, end)
		v.why.Level, v.why.Idle = int32(k), now-r.since[k]
	}
	v.worth = p.Kappa.Seconds()
	return v
}

// byRate holds as many containers as the marginal rule finds worth it at the forecast rate, or as are busy.
type byRate struct {
	model forecast.Model
	kind  dispatcher.Model
	round time.Duration
	busy  int
	count int           // arrivals since the model was fed
	fed   time.Duration // when it was
}

func (r *byRate) arrive(time.Duration) { r.busy++; r.count++ }
func (r *byRate) depart(time.Duration) { r.busy = max(0, r.busy-1) }

func (r *byRate) want(now time.Duration, p price) verdict {
	if now > r.fed {
		r.model.Observe(r.count, now-r.fed)
		r.count, r.fed = 0, now
	}
	rate := r.model.Forecast(p.Start)
	n := rate.Servers(p.service, p.Kappa+p.Start)
	v := verdict{busy: r.busy, idle: max(0, n-r.busy), next: gap.Never, worth: rate.Mean() * p.Kappa.Seconds(),
		why: dispatcher.Reason{Model: r.kind, Level: int32(n), Rate: rate.Mean(), Horizon: p.Start}}
	if n > 0 {
		v.next = now + r.round // the rate fades in silence
	}
	return v
}
