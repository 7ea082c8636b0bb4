package demo

import (
	"sort"
	"sync"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// outcome is what became of one call on one side.
type outcome struct {
	fn      int
	at      time.Duration // of the load
	ok      bool
	served  string
	wait    time.Duration // in the scheduler's line
	acquire time.Duration // as its caller saw it
	err     string
}

// tally collects outcomes, those of the learning phase apart.
type tally struct {
	mu    sync.Mutex
	learn time.Duration
	all   [2][]outcome // while learning, after
}

func (t *tally) add(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := 1
	if o.at < t.learn {
		i = 0
	}
	t.all[i] = append(t.all[i], o)
}

// Quantiles of a set of waits, milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Row is what became of one function's calls.
type Row struct {
	Function    string    `json:"function"`
	Calls       int       `json:"calls"`
	OK          int       `json:"ok"`
	Warm        int       `json:"warm"`
	Waited      int       `json:"waited"`
	Cold        int       `json:"cold"`
	WaitSeconds float64   `json:"wait_seconds"` // sum over calls
	AcquireMS   Quantiles `json:"acquire_ms"`
}

// Score is what became of a phase on one side.
type Score struct {
	Calls                int       `json:"calls"`
	OK                   int       `json:"ok"`
	SuccessRate          float64   `json:"success_rate"`
	Warm                 int       `json:"warm"`
	Waited               int       `json:"waited"`
	Cold                 int       `json:"cold"`
	AcquireMS            Quantiles `json:"acquire_ms"`
	WaitSeconds          float64   `json:"wait_seconds"`
	NodeSeconds          float64   `json:"node_seconds"`
	ContainerSeconds     float64   `json:"container_seconds"`
	IdleContainerSeconds float64   `json:"idle_container_seconds"`
	StartingSeconds      float64   `json:"starting_container_seconds"`
	J                    float64   `json:"j"` // idle + starting container-seconds + kappa x cold
	Functions            []Row     `json:"functions"`
	FirstError           string    `json:"first_error,omitempty"`
}

// Result is one side: after the learning phase, and during it.
type Result struct {
	Score
	Learning Score `json:"learning"`
}

// spent is container-time and node-time up to a moment.
type spent struct{ idle, starting, total, nodes time.Duration }

func spentBy(c *dispatcher.Core, now time.Duration) (s spent) {
	c.Functions(now, func(i *dispatcher.FunctionInfo) bool {
		s.idle += i.Count.Idle
		s.starting += i.Count.Starting
		s.total += i.Count.ReadyIn + i.Count.Starting + i.Count.Stopping
		return true
	})
	s.nodes = c.Cluster(now).NodeTime
	return s
}

func (s spent) minus(t spent) spent {
	return spent{s.idle - t.idle, s.starting - t.starting, s.total - t.total, s.nodes - t.nodes}
}

// score sums a phase up.
func (t *tally) score(phase int, ss []shape, used spent, kappa time.Duration) Score {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := make([]Row, len(ss))
	waits := make([][]time.Duration, len(ss)+1)
	s := Score{NodeSeconds: used.nodes.Seconds(), ContainerSeconds: used.total.Seconds(), IdleContainerSeconds: used.idle.Seconds(),
		StartingSeconds: used.starting.Seconds()}
	for _, o := range t.all[phase] {
		r := &rows[o.fn]
		r.Calls++
		if !o.ok {
			if s.FirstError == "" {
				s.FirstError = o.err
			}
			continue
		}
		r.OK++
		r.WaitSeconds += o.wait.Seconds()
		switch o.served {
		case "warm":
			r.Warm++
		case "waited":
			r.Waited++
		default:
			r.Cold++
		}
		waits[o.fn] = append(waits[o.fn], o.acquire)
		waits[len(ss)] = append(waits[len(ss)], o.acquire)
	}
	for i := range rows {
		r := &rows[i]
		r.Function, r.AcquireMS = ss[i].name, quantiles(waits[i])
		s.Calls += r.Calls
		s.OK += r.OK
		s.Warm += r.Warm
		s.Waited += r.Waited
		s.Cold += r.Cold
		s.WaitSeconds += r.WaitSeconds
	}
	s.Functions, s.AcquireMS = rows, quantiles(waits[len(ss)])
	if s.Calls > 0 {
		s.SuccessRate = float64(s.OK) / float64(s.Calls)
	}
	s.J = s.IdleContainerSeconds + s.StartingSeconds + kappa.Seconds()*float64(s.Cold)
	return s
}

func quantiles(ds []time.Duration) Quantiles {
	if len(ds) == 0 {
		return Quantiles{}
	}
	sort.Slice(ds, func(i, j int) bool { return ds[i] < ds[j] })
	ms := func(p float64) float64 {
		return float64(ds[min(int(p*float64(len(ds))), len(ds)-1)].Microseconds()) / 1000
	}
	return Quantiles{ms(.5), ms(.99), ms(1)}
}
