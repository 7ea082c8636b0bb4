package demo

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster"
)

// shape is one function's part of the load.
type shape struct {
	name    string
	about   string        // for people
	service time.Duration // that a call sleeps
	calls   func(rng *rand.Rand, until time.Duration) []time.Duration
}

// call is one call of the load.
type call struct {
	at time.Duration // since the load began
	fn int           // index into shapes
}

// startTime is how long a function loads before it answers, as an interpreter with its libraries does.
const startTime = "700ms"

func shapes() []shape {
	ms := time.Millisecond
	return []shape{
		{"heartbeat", "every 5.5 s", 120 * ms, periodic(5500*ms, 700*ms, 1, 15*ms)},
		{"sync", "2 every 6.2 s", 200 * ms, periodic(6200*ms, 1900*ms, 2, 40*ms)},
		{"poll", "every 7 s", 80 * ms, periodic(7*time.Second, 3100*ms, 1, 20*ms)},
		{"report", "2 every 8 s", 300 * ms, periodic(8*time.Second, 2400*ms, 2, 60*ms)},
		{"backup", "every 9 s", 400 * ms, periodic(9*time.Second, 4300*ms, 1, 25*ms)},
		{"burst", "5 every 7.5 s", 350 * ms, periodic(7500*ms, 5200*ms, 5, 150*ms)},
		{"ramp", "1/s rising to 12/s", 150 * ms, ramp(1, 12)},
		{"steady", "20/s", 60 * ms, poisson(20)},
		{"rare", "now and then", 150 * ms, poisson(1. / 20)},
	}
}

// periodic calls come in batches, each call late by up to jitter.
func periodic(every, first time.Duration, batch int, jitter time.Duration) func(*rand.Rand, time.Duration) []time.Duration {
	return func(rng *rand.Rand, until time.Duration) (at []time.Duration) {
		for t := first; t < until; t += every {
			for range batch {
				at = append(at, t+time.Duration(rng.Float64()*float64(jitter)))
			}
		}
		return at
	}
}

// poisson calls come at random, so many a second.
func poisson(rate float64) func(*rand.Rand, time.Duration) []time.Duration {
	return func(rng *rand.Rand, until time.Duration) (at []time.Duration) {
		for t := rng.ExpFloat64() / rate; t < until.Seconds(); t += rng.ExpFloat64() / rate {
			at = append(at, seconds(t))
		}
		return at
	}
}

// ramp calls come at random at a rate that rises evenly, by thinning (Lewis & Shedler 1979).
func ramp(from, to float64) func(*rand.Rand, time.Duration) []time.Duration {
	return func(rng *rand.Rand, until time.Duration) (at []time.Duration) {
		for t := rng.ExpFloat64() / to; t < until.Seconds(); t += rng.ExpFloat64() / to {
			if rate := from + (to-from)*t/until.Seconds(); rng.Float64()*to < rate {
				at = append(at, seconds(t))
			}
		}
		return at
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// load is the whole of it, in order of time. The seed is part of the demo.
func load(ss []shape, seed uint64, length time.Duration) (calls []call) {
	for i, s := range ss {
		for _, at := range s.calls(rand.New(rand.NewPCG(seed, uint64(i))), length) {
			calls = append(calls, call{at, i})
		}
	}
	sort.SliceStable(calls, func(i, j int) bool { return calls[i].at < calls[j].at })
	return calls
}

// functions are what both clusters run: the built-in sample that sleeps, one request per container.
func functions(ss []shape) *catalog.Catalog {
	c := &catalog.Catalog{}
	for _, s := range ss {
		c.Functions = append(c.Functions, catalog.Function{
			Name: s.name, Sample: "sleep", Memory: 128 * cluster.MiB, Timeout: 10 * time.Second, Concurrency: 1,
			Env: map[string]string{"START_TIME": startTime, "SLEEP_MS": fmt.Sprint(s.service.Milliseconds())},
		})
	}
	return c
}
