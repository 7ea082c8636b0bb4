package prewarm

import (
	"fmt"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// Prices are in money, of any currency. All zero: Options.Kappa holds for every function alike.
type Prices struct {
	Cold       float64 // of one cold start
	GiBSecond  float64 // of a GiB of container memory held for a second
	NodeSecond float64 // of a node held for a second; 0: as much as its memory at GiBSecond
}

// given says whether there are prices.
func (p Prices) given() bool { return p != Prices{} }

func (p Prices) check() error {
	switch {
	case p.Cold < 0 || p.GiBSecond < 0 || p.NodeSecond < 0:
		return fmt.Errorf("prewarm: prices cold %v, GiB-second %v and node-second %v must not be negative", p.Cold, p.GiBSecond, p.NodeSecond)
	case p.given() && (p.Cold == 0 || p.GiBSecond == 0):
		return fmt.Errorf("prewarm: prices cold %v and GiB-second %v must both be given, or neither and kappa instead", p.Cold, p.GiBSecond)
	}
	return nil
}

const gib = 1 << 30

// kappa is what a cold start is worth, in idle seconds of a container of so many bytes.
func (p Prices) kappa(memory int64) time.Duration {
	return durationOf(p.Cold / (float64(memory) / gib * p.GiBSecond))
}

// nodeKappa is what it is worth to have one node more, in seconds of an idle one: each of the containers that it
// has room for may miss.
func (p Prices) nodeKappa(node, container int64) time.Duration {
	if p.NodeSecond == 0 {
		return p.kappa(container)
	}
	return durationOf(p.Cold * float64(node) / float64(container) / p.NodeSecond)
}

// Bounds within which kappa is learnt. Prices may lead outside of them, up to kappaMost.
const (
	kappaMin  = time.Second
	kappaMax  = time.Hour
	kappaMost = 365 * 24 * time.Hour
)

func durationOf(seconds float64) time.Duration {
	if seconds >= kappaMost.Seconds() {
		return kappaMost
	}
	return time.Duration(seconds * float64(time.Second))
}

// kappaOf is what a cold start of a function is worth now: as learnt for its account, by its size, or as given.
func (p *Planner) kappaOf(pl *plan) time.Duration {
	switch {
	case pl.tenant != nil:
		return pl.tenant.kappa()
	case p.opts.Prices.given() && pl.memory > 0:
		return p.opts.Prices.kappa(pl.memory)
	}
	return p.opts.Kappa
}

// nodeKappaOf is the same for nodes, from the mean size of the functions that are known.
func (p *Planner) nodeKappaOf(node int64) time.Duration {
	switch {
	case len(p.tenants) > 0:
		return p.tenantMean()
	case p.opts.Prices.given() && p.sized > 0:
		return p.opts.Prices.nodeKappa(node, p.sizes/p.sized)
	}
	return p.opts.Kappa
}

// priceOf puts together what holding, starting and missing cost for a function. The lead is the quantile
// kappa/(kappa+L) of its start times: the newsvendor's, with an early container costing idle time and a late one kappa.
func (p *Planner) priceOf(pl *plan, starts dispatcher.Times) {
	kappa, start := p.kappaOf(pl), p.opts.Start
	lead := start
	if starts.N > 0 {
		start = starts.P50
		lead = max(start, starts.Quantile(kappa.Seconds()/(kappa+start).Seconds()))
	}
	pl.price.Kappa, pl.price.Start, pl.price.Lead = kappa, start, lead
}

// sizeOf follows a function's memory.
func (p *Planner) sizeOf(pl *plan, memory int64) {
	if memory <= 0 || memory == pl.memory {
		return
	}
	if pl.memory == 0 {
		p.sized++
	}
	p.sizes += memory - pl.memory
	pl.memory = memory
}

// unit is the price of a second of a function's container: 1 where there are no prices.
func (p *Planner) unit(pl *plan) float64 {
	if !p.opts.Prices.given() {
		return 1
	}
	return float64(pl.memory) / gib * p.opts.Prices.GiBSecond
}
