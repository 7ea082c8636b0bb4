package prewarm

import (
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// Forecast is what the planner expects of one function, for people.
type Forecast struct {
	Fn            dispatcher.FnID
	Account, Name string
	Rate          float64 // requests/s expected now, by the Poisson-gamma mixture
	Busy          float64 // mean occupancy at that rate
	Busy90        int     // its quantiles
	Busy99        int
	Want          int
	Expect        time.Duration // from now to the next expected call
	Known         bool          // Expect says something
	Why           dispatcher.Reason
}

// NodeForecast is what it expects of the nodes.
type NodeForecast struct {
	Need, Want int
	Demand     int64   // bytes booked or waited for
	Ahead      float64 // bytes expected at the horizon
	Horizon    time.Duration
	Why        dispatcher.Reason
}

// Forecasts yields every function's, until yield returns false.
func (p *Planner) Forecasts(now time.Duration, yield func(Forecast) bool) {
	for _, pl := range p.plans {
		if pl != nil && !yield(pl.forecast(now)) {
			return
		}
	}
}

// Forecast is one function's; false when nothing is known of it.
func (p *Planner) Forecast(now time.Duration, fn dispatcher.FnID) (Forecast, bool) {
	if int(fn) >= len(p.plans) || p.plans[fn] == nil {
		return Forecast{}, false
	}
	return p.plans[fn].forecast(now), true
}

func (pl *plan) forecast(now time.Duration) Forecast {
	pl.feed(now)
	r := pl.rate.Forecast(pl.price.Start)
	f := Forecast{Fn: pl.fn, Account: pl.key.account, Name: pl.key.name, Rate: r.Mean(), Busy: r.Mean() * pl.price.service.Seconds(),
		Busy90: r.OccupancyQuantile(pl.price.service, .9), Busy99: r.OccupancyQuantile(pl.price.service, .99), Want: pl.want, Why: pl.verdict.why}
	f.Expect, f.Known = pl.nextCall(now, f.Rate)
	return f
}

// often is the rate above which the mean time between calls says more of the next one than any law.
const often = 1.0

// nextCall is the time from now to the next expected call: at the rate, where calls come often, else as the law of
// the lowest idle level has it. Laws of higher levels tell of more calls at once, not of the next.
func (pl *plan) nextCall(now time.Duration, rate float64) (time.Duration, bool) {
	if rate > often {
		return time.Duration(float64(time.Second) / rate), true
	}
	v := &pl.verdict
	if e := v.why.Expect; e > 0 && int(v.why.Level) == v.busy {
		return max(0, pl.decidedAt+e-now), true
	}
	return 0, false
}

// feed brings the rate model up to now.
func (pl *plan) feed(now time.Duration) {
	if now > pl.fed {
		pl.rate.Observe(pl.arrived, now-pl.fed)
		pl.arrived, pl.fed = 0, now
	}
}

// Nodes is what is expected of the nodes.
func (p *Planner) Nodes() NodeForecast {
	return NodeForecast{Need: p.nodes.need, Want: p.nodes.said.Want, Demand: p.nodes.demand, Ahead: p.nodes.ahead * (1 << 20),
		Horizon: p.nodes.lead, Why: p.nodes.said.Why}
}
