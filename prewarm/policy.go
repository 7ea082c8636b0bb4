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
	want(now time.Duration, p *price) verdict
	resync(now time.Duration, busy int) // events were lost, and so many calls are there now
}

// price is what a policy weighs.
type price struct {
	gap.Price
	service time.Duration // mean time that a call keeps a container
}

// miss is what it costs to be without a container when one is needed, in seconds of an idle one.
func (p *price) miss() float64 { return (p.Kappa + p.Start).Seconds() }

// verdict is a policy's answer: idle levels wanted, when that may change by time alone, and why.
type verdict struct {
	busy, idle int
	next       time.Duration
	worth      float64
	why        dispatcher.Reason
}

// newPolicy makes what forecasts one function whose first event is at from; nil for the reactive policy, which does
// not forecast.
func newPolicy(o *Options, from time.Duration) (policy, error) {
	switch o.Policy {
	case dispatcher.ModelGap:
		l, err := gap.New(o.Gap)
		return &byGap{levels: l, shift: max(0, -from)}, err
	case dispatcher.ModelReactive:
		return nil, nil
	case dispatcher.ModelEWMA:
		m, err := forecast.NewEWMA(forecast.EWMAOptions{})
		return &byRate{model: m, kind: o.Policy, round: o.RoundMax, fed: min(0, from)}, err
	case dispatcher.ModelHolt:
		m, err := forecast.NewHolt(forecast.HoltOptions{})
		return &byRate{model: m, kind: o.Policy, round: o.RoundMax, fed: min(0, from)}, err
	default:
		m, err := forecast.NewPGMix(forecast.PGMixOptions{})
		return &byRate{model: m, kind: o.Policy, round: o.RoundMax, fed: min(0, from)}, err
	}
}

// byGap holds levels by the laws of their idle gaps.
type byGap struct {
	levels *gap.Levels
	shift  time.Duration // added to all times: levels know none before 0, and a history has them
}

func (g *byGap) arrive(at time.Duration) { g.levels.Arrive(at + g.shift) }
func (g *byGap) depart(at time.Duration) { g.levels.Depart(at + g.shift) }

// resync forgets the gaps that run: one that ran across lost events would teach a wrong law.
func (g *byGap) resync(now time.Duration, busy int) { g.levels.Reset(now+g.shift, busy) }

func (g *byGap) want(now time.Duration, p *price) verdict {
	w := g.levels.Wanted(now+g.shift, p.Price)
	if w.Next != gap.Never {
		w.Next -= g.shift
	}
	return verdict{busy: w.Busy, idle: w.Idle, next: w.Next, worth: max(0, w.Why.Drop-w.Why.Hold), why: dispatcher.Reason{
		Model: dispatcher.ModelGap, Level: int32(w.Why.Level), Gaps: int32(w.Why.Gaps), Idle: w.Why.Idle, Expect: w.Why.Expect,
		Prob: w.Why.Prob, Hold: w.Why.Hold, Drop: w.Why.Drop,
	}}
}

// byRate holds as many containers as the marginal rule finds worth it at the forecast rate, or as are busy.
type byRate struct {
	model forecast.Model
	kind  dispatcher.Model
	round time.Duration
	busy  int
	count int           // arrivals since the model was fed
	fed   time.Duration // when it was
	look  time.Duration // when to look again at a rate that fades in silence; news in between does not move it
}

func (r *byRate) arrive(time.Duration) { r.busy++; r.count++ }
func (r *byRate) depart(time.Duration) { r.busy = max(0, r.busy-1) }

// resync counts calls that are there and were not heard of as arrivals.
func (r *byRate) resync(_ time.Duration, busy int) {
	r.count += max(0, busy-r.busy)
	r.busy = busy
}

// feed brings the model up to now.
func (r *byRate) feed(now time.Duration) {
	if now > r.fed {
		r.model.Observe(r.count, now-r.fed)
		r.count, r.fed = 0, now
	}
}

func (r *byRate) want(now time.Duration, p *price) verdict {
	r.feed(now)
	rate := r.model.Forecast(p.Start)
	n := rate.Servers(p.service, p.Kappa+p.Start)
	v := verdict{busy: r.busy, idle: max(0, n-r.busy), next: gap.Never, worth: rate.Mean() * p.Kappa.Seconds(),
		why: dispatcher.Reason{Model: r.kind, Level: int32(n), Rate: rate.Mean(), Horizon: p.Start}}
	if n > 0 {
		if now >= r.look {
			r.look = now + r.round
		}
		v.next = r.look
	}
	return v
}
