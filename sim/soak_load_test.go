package sim

import (
	"cmp"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/model"
)

// part is one function's part of a mixed load.
type part struct {
	account, name string
	memory        int64 // MiB
	service       time.Duration
	busy          float64 // share of the service time that it computes
	alone         bool    // one call a container
	begins        func(r *rand.Rand, at time.Duration) time.Duration
	calls         func(r *rand.Rand) int // at a beginning
	spread        time.Duration          // over which they come
	leak          float64                // share of the calls that need more memory than there is
	broken        bool                   // no start succeeds
	steadfast     bool                   // callers neither leave nor forget to return
}

func one(*rand.Rand) int { return 1 }

func many(n int) func(*rand.Rand) int { return func(*rand.Rand) int { return n } }

// every begins at multiples of a period, as timers do.
func every(period, phase time.Duration) func(*rand.Rand, time.Duration) time.Duration {
	return func(_ *rand.Rand, at time.Duration) time.Duration {
		if at < phase {
			return phase
		}
		return at + period
	}
}

// atRate begins at random, so many times a second.
func atRate(rate float64) func(*rand.Rand, time.Duration) time.Duration {
	return func(r *rand.Rand, at time.Duration) time.Duration {
		return at + time.Duration(r.ExpFloat64()/rate*float64(time.Second))
	}
}

// daily begins at random, at a rate that swings once a day between lo at midnight and hi at noon, by thinning
// (Lewis & Shedler 1979).
func daily(lo, hi float64) func(*rand.Rand, time.Duration) time.Duration {
	return func(r *rand.Rand, at time.Duration) time.Duration {
		for {
			at += time.Duration(r.ExpFloat64() / hi * float64(time.Second))
			rate := lo + (hi-lo)*(1-math.Cos(2*math.Pi*at.Hours()/24))/2
			if r.Float64()*hi < rate {
				return at
			}
		}
	}
}

// mixed is the load of the soak: about 480,000 calls a day.
func mixed() []part {
	const ms, s, min = time.Millisecond, time.Second, time.Minute
	up := func(lo, hi int) func(*rand.Rand) int {
		return func(r *rand.Rand) int { return lo + r.IntN(hi-lo+1) }
	}
	return []part{
		{account: "a", name: "heartbeat", memory: 128, service: 120 * ms, begins: every(30*s, 7*s), calls: one},
		{account: "a", name: "minutely", memory: 256, service: 2 * s, begins: every(min, 11*s), calls: many(2), spread: 200 * ms, alone: true},
		{account: "a", name: "fives", memory: 256, service: 3 * s, busy: .5, begins: every(5*min, 0), calls: many(6), spread: 50 * ms, alone: true},
		{account: "b", name: "quarters", memory: 512, service: 4 * s, busy: 1, begins: every(15*min, 0), calls: many(4), spread: 50 * ms},
		{account: "b", name: "hourly", memory: 512, service: 20 * s, busy: .3, begins: every(time.Hour, 0), calls: many(12), spread: s, alone: true},
		{account: "b", name: "nightly", memory: 1024, service: 50 * s, busy: .8, begins: every(24*time.Hour, 3*time.Hour), calls: many(3), spread: s, alone: true},
		{account: "b", name: "burst", memory: 128, service: 350 * ms, busy: .2, begins: atRate(1. / 90), calls: up(5, 40), spread: 150 * ms},
		{account: "a", name: "storm", memory: 256, service: s, busy: .5, begins: atRate(1. / 3600), calls: up(100, 400), spread: 2 * s},
		{account: "a", name: "office", memory: 128, service: 150 * ms, busy: .3, begins: daily(.1, 5), calls: one},
		{account: "b", name: "steady", memory: 128, service: 60 * ms, begins: atRate(2), calls: one},
		{account: "b", name: "single", memory: 192, service: 400 * ms, busy: .4, begins: atRate(.5), calls: one, alone: true},
		{account: "a", name: "leaky", memory: 128, service: 200 * ms, begins: atRate(.1), calls: one, leak: .01},
		{account: "a", name: "rare", memory: 256, service: 150 * ms, begins: atRate(1. / 5000), calls: one},
		{account: "b", name: "rarer", memory: 512, service: 5 * s, begins: atRate(1. / 30000), calls: up(1, 3), spread: s},
		{account: "b", name: "broken", memory: 128, service: s, begins: atRate(1. / 1800), calls: one, broken: true},
	}
}

// Shares of the calls whose callers misbehave.
const (
	leaves   = .02   // go away when they have waited for less than 3 s
	vanishes = .25   // of those, without a word
	forgets  = .0002 // never return
)

// arrival draws one call.
func (p *part) arrival(r *rand.Rand, at time.Duration) Arrival {
	memory := p.memory * cluster.MiB
	a := Arrival{At: at, Base: memory / 8,
		Function: cluster.Function{Account: p.account, Name: p.name, Handler: "main", Memory: memory, Timeout: 2 * time.Minute},
		Work:     model.WorkOf(time.Duration(float64(p.service)*math.Exp(.3*r.NormFloat64())), memory, p.busy, r.Float64()),
	}
	a.Work.Memory = memory / 16
	if p.alone {
		a.Concurrency = 1
	}
	if r.Float64() < p.leak {
		a.Work.Memory = 64 * memory
	}
	if p.broken {
		a.Base = 64 * memory
	}
	if p.steadfast {
		return a
	}
	if r.Float64() < leaves {
		a.Leave, a.Vanish = time.Duration(r.Float64()*3*float64(time.Second)), r.Float64() < vanishes
	}
	a.Silent = r.Float64() < forgets
	return a
}

// stream is a part as it goes on.
type stream struct {
	part
	rng   *rand.Rand
	next  time.Duration   // beginning
	calls []time.Duration // of the present one that are still to come
}

// fill draws a beginning's calls when those of the last have come.
func (s *stream) fill(until time.Duration) {
	for len(s.calls) == 0 && s.next < until {
		for range s.part.calls(s.rng) {
			s.calls = append(s.calls, s.next+time.Duration(s.rng.Float64()*float64(s.spread)))
		}
		slices.Sort(s.calls)
		s.next = max(s.begins(s.rng, s.next), s.calls[len(s.calls)-1])
	}
}

func (s *stream) at() time.Duration {
	if len(s.calls) == 0 {
		return never
	}
	return s.calls[0]
}

// load mixes parts until a time, in the order of time.
func load(seed uint64, parts []part, until time.Duration) iter.Seq[Arrival] {
	streams := make([]*stream, len(parts))
	for i, p := range parts {
		s := &stream{part: p, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		s.next = s.begins(s.rng, 0)
		s.fill(until)
		streams[i] = s
	}
	return func(yield func(Arrival) bool) {
		for {
			first := slices.MinFunc(streams, func(a, b *stream) int { return cmp.Compare(a.at(), b.at()) })
			if first.at() == never {
				return
			}
			a := first.arrival(first.rng, first.calls[0])
			first.calls = first.calls[:copy(first.calls, first.calls[1:])]
			first.fill(until)
			if !yield(a) {
				return
			}
		}
	}
}

// outages draws the manager's: six times a day it has no machine for two to six minutes, and three times a day it does
// not answer for a minute. Every third holds while an hour begins, when the timers want machines.
func outages(seed uint64, length time.Duration) (out []model.Outage) {
	r := rand.New(rand.NewPCG(seed, 1<<33))
	const day = 24 * time.Hour
	for from := time.Duration(0); from < length; from += day {
		for i := range 9 {
			at := from + time.Duration(r.Float64()*float64(day))
			if i%3 == 0 {
				at = at.Truncate(time.Hour) + time.Hour - 30*time.Second
			}
			o := model.Outage{From: at, Until: at + 2*time.Minute + time.Duration(r.Float64()*float64(4*time.Minute))}
			if i >= 6 {
				o.Away, o.Until = true, at+time.Minute
			}
			out = append(out, o)
		}
	}
	return out
}
