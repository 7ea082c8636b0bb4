package sim

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/model"
)

//go:embed workload2020.json
var workload2020JSON []byte

// figures2020 are the figures of one function, as read off a run of the contest.
type figures2020 struct {
	Function string `json:"function"`
	Calls    int    `json:"calls"`
	Bursts   int    `json:"bursts"`
	PerBurst span   `json:"calls_per_burst"`
	Gap      span   `json:"burst_gap_ms"`
	Memory   int64  `json:"memory_mib"`
	Used     span   `json:"max_memory_used_mib"`
	Exec     span   `json:"exec_ms"`
	Kind     string `json:"kind"`
	Acquire  int    `json:"mean_acquire_ms_of_that_entry"`
}

// busyShare is the part of its execution time for which a call of each kind computes. A sleep never does.
var busyShare = map[string]float64{"cpu": 1, "mixed": .2, "memory": .1, "sleep": 0}

const (
	timeout2020 = time.Minute
	spread2020  = 20 * time.Millisecond // over which the calls of a burst come
)

// Workload2020 is the load of the 2020 contest's fifteen functions for so long: bursts of calls at almost regular
// gaps. Gaps, calls per burst, execution times and memory are drawn between the known least and greatest
// values around the known mean (see span.draw); each function begins at a random phase; the calls of a burst are
// spread evenly at random over 20 ms. A function whose bursts do not fill the original run lives for as long as
// they last, somewhere in this one. A call that is alone in a container of its function's memory takes
// its execution time, of which it computes for a share that goes by its kind, at a random place in it.
func Workload2020(seed uint64, length time.Duration) iter.Seq[Arrival] {
	var file struct {
		Length    float64       `json:"duration_s"`
		Functions []figures2020 `json:"functions"`
	}
	if err := json.Unmarshal(workload2020JSON, &file); err != nil {
		panic(fmt.Sprintf("sim: the embedded workload: %v", err)) // a broken build, not bad input
	}
	sources := make([]*source2020, len(file.Functions))
	for i, f := range file.Functions {
		sources[i] = f.source(rand.New(rand.NewPCG(seed, uint64(i))), length, time.Duration(file.Length*float64(time.Second)))
	}
	return merge2020(sources)
}

// merge2020 yields the calls of all sources in the order of their time.
func merge2020(sources []*source2020) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		for {
			first := slices.MinFunc(sources, func(a, b *source2020) int { return cmp.Compare(a.next(), b.next()) })
			if first.next() == never || !yield(first.take()) {
				return
			}
		}
	}
}

// source2020 makes one function's calls, a burst at a time.
type source2020 struct {
	figures2020
	rng    *rand.Rand
	at     time.Duration // next burst
	until  time.Duration
	bursts int             // still to come
	burst  []time.Duration // calls of this one that are still to come
}

func (f figures2020) source(rng *rand.Rand, length, original time.Duration) *source2020 {
	f.PerBurst.Mean = float64(f.Calls) / float64(f.Bursts) // the listed one is rounded
	f.Exec = unrounded(f.Exec)
	s := &source2020{figures2020: f, rng: rng, until: length, bursts: f.Bursts}
	gap := millis(f.Gap.Mean)
	room := gap // for the phase
	if life := time.Duration(f.Bursts) * gap; life < original/2 {
		room = max(length-life, gap)
	} else {
		s.bursts = int(length/millis(f.Gap.Min)) + 1 // no bound
	}
	s.at = time.Duration(rng.Float64() * float64(room))
	s.refill()
	return s
}

// unrounded gives a mean that was rounded down to the least value a quarter of a millisecond above it.
func unrounded(s span) span {
	if s.Mean <= s.Min && s.Max > s.Min {
		s.Mean = s.Min + .25
	}
	return s
}

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// refill draws the next burst when this one is over.
func (s *source2020) refill() {
	if len(s.burst) > 0 || s.bursts == 0 || s.at >= s.until {
		return
	}
	for range s.PerBurst.count(s.rng) {
		s.burst = append(s.burst, s.at+time.Duration(s.rng.Float64()*float64(spread2020)))
	}
	slices.Sort(s.burst)
	s.bursts--
	s.at += millis(s.Gap.draw(s.rng))
}

func (s *source2020) next() time.Duration {
	if len(s.burst) == 0 {
		return never
	}
	return s.burst[0]
}

func (s *source2020) take() Arrival {
	a := s.arrival(s.burst[0])
	s.burst = slices.Delete(s.burst, 0, 1)
	s.refill()
	return a
}

// arrival draws one call. Of the memory that it is said to use alone, the process itself has a part.
func (s *source2020) arrival(at time.Duration) Arrival {
	memory := s.Memory * cluster.MiB
	used := s.used()
	base := int64(min(4, used.Min/2) * float64(cluster.MiB))
	w := model.WorkOf(millis(s.Exec.draw(s.rng)), memory, busyShare[s.Kind], s.rng.Float64())
	w.Memory = int64(used.draw(s.rng)*float64(cluster.MiB)) - base
	return Arrival{At: at, Base: base, Work: w,
		Function: cluster.Function{Account: "contest", Name: s.Function, Handler: "index.handler", Memory: memory, Timeout: timeout2020}}
}

// used spreads the memory as far below the mean as the greatest value lies above it.
func (s *source2020) used() span {
	u := s.Used
	return span{Min: max(.5, 2*u.Mean-u.Max), Mean: u.Mean, Max: u.Max}
}
