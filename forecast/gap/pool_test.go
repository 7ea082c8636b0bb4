package gap

import (
	"math/rand/v2"
	"slices"
	"time"
)

// call is one request of a test's workload.
type call struct {
	at, service time.Duration
}

// event is an arrival or a departure of virtual occupancy.
type event struct {
	at     time.Duration
	depart bool
}

// events puts arrivals and departures in order; at one instant, departures first.
func events(calls []call) []event {
	var es []event
	for _, c := range calls {
		es = append(es, event{at: c.at}, event{at: c.at + c.service, depart: true})
	}
	slices.SortStableFunc(es, func(a, b event) int {
		switch {
		case a.at != b.at:
			return int(min(max(a.at-b.at, -1), 1))
		case a.depart == b.depart:
			return 0
		case a.depart:
			return -1
		}
		return 1
	})
	return es
}

// timer is n beats of burst calls each, on a grid of period, each with normal jitter; the calls of a beat come
// within 5 ms.
func timer(r *rand.Rand, period, jitter, service time.Duration, n, burst int) []call {
	var cs []call
	for i := range n {
		at := time.Duration(i)*period + period/2 + time.Duration(r.NormFloat64()*float64(jitter))
		for range burst {
			cs = append(cs, call{max(at+time.Duration(r.IntN(5))*time.Millisecond, 0), service})
		}
	}
	return cs
}

// poisson is calls at rate per second with exponential service times.
func poisson(r *rand.Rand, rate float64, service, length time.Duration) []call {
	var cs []call
	for t := seconds(r.ExpFloat64() / rate); t < length; t += seconds(r.ExpFloat64() / rate) {
		cs = append(cs, call{t, time.Duration(r.ExpFloat64() * float64(service))})
	}
	return cs
}

// bill is what a function's containers cost, in container-seconds.
type bill struct {
	calls, colds, starts  int
	idle, starting, kappa float64
}

func (b bill) total() float64 { return b.idle + b.starting + b.kappa*float64(b.colds) }

// wanter says how many containers are wanted now, and when that may change by itself.
type wanter func(now time.Duration) (target int, next time.Duration)

// pool is the simplest container pool that obeys a wanter: a start takes start, one call per container, a call that
// finds none ready takes a container that starts or a new one and counts as cold.
type pool struct {
	price Price
	learn func(event) // is told every event
	want  wanter
	now   time.Duration
	busy  int             // virtual occupancy
	ready int             // containers that are ready, busy ones included
	begun []time.Duration // when those that start will be ready, oldest first
	bill  bill
}

// advance moves time to at and pays for what was idle.
func (p *pool) advance(at time.Duration) {
	for len(p.begun) > 0 && p.begun[0] <= at {
		p.pay(p.begun[0])
		p.begun = p.begun[1:]
		p.ready++
	}
	p.pay(at)
}

func (p *pool) pay(at time.Duration) {
	p.bill.idle += float64(max(p.ready-p.busy, 0)) * (at - p.now).Seconds()
	p.now = at
}

func (p *pool) start() {
	p.bill.starts++
	p.bill.starting += p.price.Start.Seconds()
	p.begun = append(p.begun, p.now+p.price.Start)
}

func (p *pool) arrive() {
	p.bill.calls++
	p.busy++
	if p.busy <= p.ready {
		return
	}
	p.bill.colds++
	if len(p.begun) == 0 {
		p.start()
	}
	p.begun = p.begun[1:] // virtual occupancy: served at once, so that it counts as ready
	p.ready++
}

// obey starts and drops until the target is met, and returns when to come back.
func (p *pool) obey() time.Duration {
	target, next := p.want(p.now)
	for p.ready+len(p.begun) < target {
		p.start()
	}
	p.ready = min(p.ready, max(p.busy, target)) // a start under way is not called off, nor displaces a ready one
	return next
}

// run plays events until end.
func (p *pool) run(es []event, end time.Duration) bill {
	p.bill.kappa = p.price.Kappa.Seconds()
	next := p.obey()
	for _, e := range es {
		for next < e.at {
			p.advance(next)
			next = p.obey()
		}
		p.advance(e.at)
		if e.depart {
			p.busy--
		} else {
			p.arrive()
		}
		p.learn(e)
		next = p.obey()
	}
	for next < end {
		p.advance(next)
		next = p.obey()
	}
	p.advance(end)
	return p.bill
}

// feed tells f of an event.
func (f *Levels) feed(e event) {
	if e.depart {
		f.Depart(e.at)
	} else {
		f.Arrive(e.at)
	}
}

// gapPool is a pool that obeys gap laws.
func gapPool(f *Levels, price Price) *pool {
	return &pool{price: price, learn: f.feed, want: func(now time.Duration) (int, time.Duration) {
		w := f.Wanted(now, price)
		return w.Busy + w.Idle, w.Next
	}}
}

// keepPool is a pool that keeps every level alive for keep.
func keepPool(keep time.Duration, price Price) *pool {
	busy := 0
	var since []time.Duration // when each level fell idle
	learn := func(e event) {
		if !e.depart {
			busy++
			if busy > len(since) {
				since = append(since, 0)
			}
			return
		}
		busy--
		since[busy] = e.at
	}
	return &pool{price: price, learn: learn, want: func(now time.Duration) (int, time.Duration) {
		target, next := busy, Never
		for k := busy; k < len(since); k++ {
			if end := since[k] + keep; now < end {
				target, next = target+1, min(next, end)
			}
		}
		return target, next
	}}
}

// gapBill is the cost of the calls under gap laws.
func gapBill(f *Levels, price Price, calls []call, end time.Duration) bill {
	return gapPool(f, price).run(events(calls), end)
}

// keepBill is the cost of the same under a keep-alive per level.
func keepBill(keep time.Duration, price Price, calls []call, end time.Duration) bill {
	return keepPool(keep, price).run(events(calls), end)
}
