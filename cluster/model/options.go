package model

import (
	"fmt"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// Options describes a Cluster. The zero value is the 2020 contest's.
type Options struct {
	Nodes   int     // machines to be had at first. Default 10.
	Cap     int     // machines that the manager owns at most. Default 20.
	VCPU    float64 // of a machine. Default 2.
	Memory  int64   // of a machine, bytes. Default 4 GiB.
	Sold    int64   // of it to containers, bytes. Default 3/4.
	Refill  Law     // from a reservation or release to the next machine. Default uniform 0-30 s.
	Reserve Law     // to hand out a machine. Default 50 ms.
	Start   Law     // of a container. Default uniform 0.4-1 s.
	Remove  Law     // to remove a container or to take a machine back. Default 20 ms.

	StartFails float64       // share of the starts that fail, in [0,1]. Default 0.
	StartHangs float64       // share of the starts that never answer, in [0,1]. Default 0.
	GiveUp     time.Duration // after which who asked for a start that hangs gives it up. Default 30 s.
	NodeDeaths float64       // of a reserved machine, per hour. Default 0.
	Outages    []Outage      // of the manager. Default: none.
}

// Outage is a time in which the manager hands out nothing, from From until just before Until.
type Outage struct {
	From, Until time.Duration
	Away        bool // it does not answer at all, nor takes machines back; else it has no machine to give
}

// outage is the one that holds at t, nil if none does.
func (o *Options) outage(t time.Duration) *Outage {
	for i := range o.Outages {
		if out := &o.Outages[i]; out.From <= t && t < out.Until {
			return out
		}
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	law := func(l *Law, v Law) {
		if *l == nil {
			*l = v
		}
	}
	law(&o.Refill, Uniform(0, 30*time.Second))
	law(&o.Reserve, Fixed(50*time.Millisecond))
	law(&o.Start, Uniform(400*time.Millisecond, time.Second))
	law(&o.Remove, Fixed(20*time.Millisecond))
	if o.GiveUp == 0 {
		o.GiveUp = 30 * time.Second
	}
	if o.Cap == 0 {
		o.Cap = max(20, o.Nodes)
	}
	if o.Nodes == 0 {
		o.Nodes = min(10, o.Cap)
	}
	if o.VCPU == 0 {
		o.VCPU = 2
	}
	if o.Memory == 0 {
		o.Memory = 4 * cluster.GiB
	}
	if o.Sold == 0 {
		o.Sold = o.Memory / 4 * 3
	}
	switch {
	case o.Nodes < 0 || o.Nodes > o.Cap:
		return o, fmt.Errorf("model: %d machines at first and a cap of %d: want 0 < first <= cap", o.Nodes, o.Cap)
	case o.VCPU < 0 || o.Memory < 0 || o.Sold < 0 || o.Sold > o.Memory:
		return o, fmt.Errorf("model: %v vCPU and %d of %d bytes sold make no machine", o.VCPU, o.Sold, o.Memory)
	case o.StartFails < 0 || o.StartFails > 1 || o.StartHangs < 0 || o.StartHangs > 1 || o.NodeDeaths < 0:
		return o, fmt.Errorf("model: shares %v and %v of starts that fail and hang must lie in [0,1], the rate %v of deaths must not be negative",
			o.StartFails, o.StartHangs, o.NodeDeaths)
	case o.GiveUp < 0:
		return o, fmt.Errorf("model: giving up after %v: it must not be negative", o.GiveUp)
	}
	return o, nil
}
