package sim

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Score is what a run cost and how its calls fared.
type Score struct {
	Total     FunctionScore
	Functions []FunctionScore // in the order of their names

	Time      time.Duration // when it was taken
	NodeTime  time.Duration // from a reservation's success to its release's, over all nodes
	PeakNodes int
	Nodes     int    // reservations that succeeded
	NoNode    int    // reservations that were refused
	Events    uint64 // of the simulation
}

// FunctionScore is one function's part.
type FunctionScore struct {
	Name               string
	Calls, OK, Failed  int
	Warm, Waited, Cold int
	Wait               Waits         // of all calls that got a container; warm ones have waited for nothing
	Service            time.Duration // mean time in a container
	Containers         int           // starts ordered
	Idle, Starting     time.Duration // container-time
}

// Waits sums up waits for a container.
type Waits struct{ Mean, P50, P99, Max time.Duration }

// J is the price of a run in container-seconds: what was idle, what was starting, and kappa for every call that a
// start kept waiting.
func (f *FunctionScore) J(kappa time.Duration) float64 {
	return (f.Idle + f.Starting).Seconds() + kappa.Seconds()*float64(f.Cold)
}

// SuccessRate is the share of calls that ended well; 1 when there was none.
func (f *FunctionScore) SuccessRate() float64 {
	if f.Calls == 0 {
		return 1
	}
	return float64(f.OK) / float64(f.Calls)
}

// score counts up to now.
func (w *World) score() Score {
	now := w.loop.Now()
	for _, b := range w.boxes {
		b.settle(now)
		if !b.ready {
			b.f.starting += now - b.start
			b.start = now
		}
	}
	w.held.add(now, 0)
	s := Score{Time: now, NodeTime: w.held.time, PeakNodes: w.held.peak, Nodes: w.held.made, NoNode: w.held.refused, Events: w.loop.Ran()}
	var all function
	all.name = "all"
	for _, f := range w.order {
		s.Functions = append(s.Functions, f.score())
		all.add(f)
	}
	s.Total = all.score()
	slices.SortFunc(s.Functions, func(a, b FunctionScore) int { return naturally(a.Name, b.Name) })
	return s
}

// naturally puts shorter names first, so that f2 comes before f10.
func naturally(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func (f *function) add(g *function) {
	f.calls, f.ok, f.failed = f.calls+g.calls, f.ok+g.ok, f.failed+g.failed
	f.warm, f.waited, f.cold = f.warm+g.warm, f.waited+g.waited, f.cold+g.cold
	f.waits = append(f.waits, g.waits...)
	f.service += g.service
	f.made += g.made
	f.idle, f.starting = f.idle+g.idle, f.starting+g.starting
}

func (f *function) score() FunctionScore {
	served := f.warm + f.waited + f.cold
	s := FunctionScore{Name: f.name, Calls: f.calls, OK: f.ok, Failed: f.failed, Warm: f.warm, Waited: f.waited, Cold: f.cold,
		Wait: sumUp(f.waits, f.warm), Containers: f.made, Idle: f.idle, Starting: f.starting}
	if served > 0 {
		s.Service = f.service / time.Duration(served)
	}
	return s
}

// sumUp sums up waits, and so many calls that did not wait.
func sumUp(waits []time.Duration, none int) Waits {
	n := len(waits) + none
	if n == 0 {
		return Waits{}
	}
	waits = slices.Clone(waits)
	slices.Sort(waits)
	at := func(p float64) time.Duration { // the smallest wait that a share p of the calls do not exceed
		if i := int(p*float64(n)+.999999) - 1 - none; i >= 0 {
			return waits[min(i, len(waits)-1)]
		}
		return 0
	}
	var sum time.Duration
	for _, w := range waits {
		sum += w
	}
	return Waits{Mean: sum / time.Duration(n), P50: at(.5), P99: at(.99), Max: at(1)}
}

// Write prints the score as a table, one row a function.
func (s *Score) Write(w io.Writer, kappa time.Duration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "function\tcalls\tfailed\twarm\twaited\tcold\tmean ms\tp50\tp99\tmax\tservice ms\tmade\tidle s\tstart s\tJ\t")
	for _, f := range append(slices.Clip(s.Functions), s.Total) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t%.0f\t%.1f\t%.0f\t\n", f.Name, f.Calls, f.Failed,
			f.Warm, f.Waited, f.Cold, ms(f.Wait.Mean), ms(f.Wait.P50), ms(f.Wait.P99), ms(f.Wait.Max), ms(f.Service),
			f.Containers, f.Idle.Seconds(), f.Starting.Seconds(), f.J(kappa))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%.0f s: %.0f node-seconds, %d nodes at the peak, %d reservations, %d refused, success %.5f\n", s.Time.Seconds(),
		s.NodeTime.Seconds(), s.PeakNodes, s.Nodes, s.NoNode, s.Total.SuccessRate())
	return err
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
