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

	Kappa    time.Duration // what a cold start is worth now
	Ahead    int           // levels that the forecasts want, in force or not, before floors and ceilings
	AheadWhy dispatcher.Reason
	Fallback bool // forecasts cost more than the keep-alive, which therefore decides for a while
	Floor    int  // that holds now
	Ceiling  int  // that holds now; 0: none
	Paused   bool
	Spent    Account // what was spent, and would have been by other rules; costs in container-seconds
	Unit     float64 // price of a container-second in Options.Prices' money; 1 without prices
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
		if pl != nil && !yield(p.forecast(now, pl)) {
			return
		}
	}
}

// Forecast is one function's; false when nothing is known of it.
func (p *Planner) Forecast(now time.Duration, fn dispatcher.FnID) (Forecast, bool) {
	if int(fn) >= len(p.plans) || p.plans[fn] == nil {
		return Forecast{}, false
	}
	return p.forecast(now, p.plans[fn]), true
}

func (p *Planner) forecast(now time.Duration, pl *plan) Forecast {
	pl.feed(now)
	r := pl.rate.Forecast(pl.price.Start)
	f := Forecast{Fn: pl.fn, Account: pl.key.account, Name: pl.key.name, Rate: r.Mean(), Busy: r.Mean() * pl.price.service.Seconds(),
		Busy90: r.OccupancyQuantile(pl.price.service, .9), Busy99: r.OccupancyQuantile(pl.price.service, .99), Want: pl.want, Why: pl.verdict.why,
		Kappa: pl.price.Kappa, Spent: pl.account(now, p.watches(pl)), Unit: p.unit(pl), Fallback: p.fallen(pl)}
	if p.watches(pl) {
		f.Ahead, f.AheadWhy = pl.ahead.busy+pl.ahead.idle, pl.ahead.why
	}
	if l := pl.limits; l != nil {
		f.Floor, f.Ceiling, f.Paused = l.floor, l.ceiling, l.Paused
	}
	f.Expect, f.Known = pl.nextCall(now, f.Rate, p.watches(pl))
	return f
}

// often is the rate above which the mean time between calls says more of the next one than any law.
const often = 1.0

// nextCall is the time from now to the next expected call: at the rate, where calls come often, else as the law of
// the lowest idle level has it. Laws of higher levels tell of more calls at once, not of the next.
func (pl *plan) nextCall(now time.Duration, rate float64, watched bool) (time.Duration, bool) {
	if rate > often {
		return time.Duration(float64(time.Second) / rate), true
	}
	v := &pl.ahead
	if e := v.why.Expect; watched && e > 0 && int(v.why.Level) == v.busy {
		return max(0, pl.decidedAt+e-now), true
	}
	return 0, false
}

// fallen says whether the keep-alive decides for a function because its forecasts lose.
func (p *Planner) fallen(pl *plan) bool {
	return p.opts.Mode == On && p.mayFall() && pl.policy != nil && pl.books.gate.fallen
}

// account reads the books as of now, and leaves them as they are: events from before now may still come.
func (pl *plan) account(now time.Duration, watched bool) Account {
	keep, book := pl.keep, pl.books.keep.copied()
	keep.pass(now, &pl.price, &book)
	book.pass(now, pl.busy)
	a := Account{Live: pl.books.live.as(now, pl.busy), Forecast: pl.books.ahead.Book, Reactive: book.Book}
	if watched {
		a.Forecast = pl.books.ahead.as(now, pl.busy)
	}
	return a
}

// Account is that of all functions known in this run, since their books began; costs are in Options.Prices' money, or
// without prices in container-seconds. What was saved of functions that were not heard of since is not in it.
func (p *Planner) Account(now time.Duration) (sum Account) {
	for _, pl := range p.plans {
		if pl != nil {
			a := pl.account(now, p.watches(pl))
			sum.add(&a, p.unit(pl))
		}
	}
	return sum
}

// Fallbacks is how many functions are left to the keep-alive because their forecasts lose.
func (p *Planner) Fallbacks() (n int) {
	for _, pl := range p.plans {
		if pl != nil && p.fallen(pl) {
			n++
		}
	}
	return n
}

// Tenant is an account whose kappa is learnt.
type Tenant struct {
	Account     string
	Kappa       time.Duration
	Calls, Cold uint64  // that it was learnt from
	Lately      float64 // cold share of about the last 2000
}

// Tenants yields them in no order, until yield returns false.
func (p *Planner) Tenants(yield func(Tenant) bool) {
	for account, t := range p.tenants {
		if !yield(Tenant{account, t.kappa(), t.calls, t.cold, t.lately}) {
			return
		}
	}
}

// Nodes is what is expected of the nodes.
func (p *Planner) Nodes() NodeForecast {
	return NodeForecast{Need: p.nodes.need, Want: p.nodes.said.Want, Demand: p.nodes.demand, Ahead: p.nodes.ahead * (1 << 20),
		Horizon: p.nodes.lead, Why: p.nodes.said.Why}
}

// Sizes counts what a Planner keeps, for tests that watch for growth.
type Sizes struct{ Functions, Due, Pending, Guesses int }

// Sizes counts what p keeps now: functions known, those that something happens to by time alone, those to be worked
// out, and departures guessed of calls that wait.
func (p *Planner) Sizes() Sizes {
	s := Sizes{Functions: len(p.known), Due: len(p.due), Pending: len(p.pending)}
	for _, pl := range p.known {
		s.Guesses += len(pl.leaving)
	}
	return s
}
