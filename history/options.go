package history

import (
	"fmt"
	"net/http"
	"time"
)

// Options tunes Load and Feed. The zero value is ready to use.
type Options struct {
	Epoch   time.Time     // wall time at which the run's clock was 0. Default: now
	Service time.Duration // of calls that the source does not time. Default 100 ms

	MaxFunctions int // read; others are counted and left out. Default 20,000
	MaxCalls     int // kept of each function, the latest. Default 100,000
	MaxRows      int // kept in all, at 24 bytes each; fewer of each function where there are more. Default 4,000,000

	// Of a file's rows with a count, and of a Prometheus.
	Step time.Duration // over which the calls of one count are spread, whole seconds. Default 1 min

	// Of a Prometheus.
	Since   time.Duration // how far back. Default 7 days
	Timeout time.Duration // of one request. Default 30 s
	Tries   int           // of one request. Default 4
	Pause   time.Duration // before the second try; doubles. Default 500 ms
	Client  *http.Client  // for TLS of its own. Default: http.DefaultTransport's
}

func (o Options) withDefaults() (Options, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&o.Service, 100*time.Millisecond)
	def(&o.Step, time.Minute)
	def(&o.Since, 7*24*time.Hour)
	def(&o.Timeout, 30*time.Second)
	def(&o.Pause, 500*time.Millisecond)
	num(&o.MaxFunctions, 20_000)
	num(&o.MaxCalls, 100_000)
	num(&o.MaxRows, 4_000_000)
	num(&o.Tries, 4)
	if o.Epoch.IsZero() {
		o.Epoch = time.Now()
	}
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	o.Epoch = o.Epoch.Round(0) // history is on the wall clock
	switch {
	case o.Service < 0 || o.Timeout < 0 || o.Pause < 0:
		return o, fmt.Errorf("history: service %v, timeout %v and pause %v must not be negative", o.Service, o.Timeout, o.Pause)
	case o.MaxFunctions < 0 || o.MaxCalls < 0 || o.MaxRows < 0 || o.Tries < 0:
		return o, fmt.Errorf("history: at most %d functions, %d calls, %d rows and %d tries: none may be negative", o.MaxFunctions, o.MaxCalls, o.MaxRows, o.Tries)
	case o.Step < time.Second || o.Step%time.Second != 0:
		return o, fmt.Errorf("history: a step of %v; it must be whole seconds, at least one", o.Step)
	case o.Since < o.Step:
		return o, fmt.Errorf("history: %v back is less than one step of %v", o.Since, o.Step)
	}
	return o, nil
}
