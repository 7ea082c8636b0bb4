package prewarm

import (
	"math"
	"time"
)

// tenant is an account whose kappa is learnt so that a wanted share of its calls is cold.
type tenant struct {
	logKappa float64 // ln of seconds
	calls    uint64
	cold     uint64
	lately   float64 // cold share; fades
}

const (
	// learnRate is how far one cold call moves ln kappa. A cold share at its target p then comes back from a
	// disturbance within about 1/(learnRate p) calls, and kappa moves by a fifth around where it belongs; a burst of
	// fifty cold calls multiplies it by e, and is made good for by the calls that follow.
	learnRate = 0.02
	// recentCalls is over how many calls the shown cold share fades.
	recentCalls = 2000
)

func newTenant(kappa time.Duration) *tenant {
	t := &tenant{logKappa: math.Log(max(kappa, kappaMin).Seconds())}
	t.clamp()
	return t
}

// observe tells of so many calls, of which so many were cold: ln kappa += rate (cold - target) for each. While kappa
// stays within its bounds, the share of cold calls over any long time is then the target, whatever the calls are: all
// that it can be off by is how far ln kappa has moved. (FORECASTING.md 2; Gibbs and Candes, "Adaptive conformal
// inference under distribution shift", NeurIPS 2021, has the argument.)
func (t *tenant) observe(calls, cold int, target float64) {
	t.logKappa += learnRate * (float64(cold) - target*float64(calls))
	t.clamp()
	t.calls += uint64(calls)
	t.cold += uint64(cold)
	if calls > 0 {
		keep := math.Exp(-float64(calls) / recentCalls)
		t.lately = keep*t.lately + (1-keep)*float64(cold)/float64(calls)
	}
}

func (t *tenant) clamp() {
	t.logKappa = min(max(t.logKappa, 0), math.Log(kappaMax.Seconds())) // kappaMin is a second
}

func (t *tenant) kappa() time.Duration {
	return time.Duration(math.Exp(t.logKappa) * float64(time.Second))
}

// tenant finds or makes an account's; nil if kappa is not learnt.
func (p *Planner) tenant(account string) *tenant {
	if p.opts.TargetCold == 0 {
		return nil
	}
	t := p.tenants[account]
	if t == nil {
		t = newTenant(p.opts.Kappa)
		p.tenants[account] = t
		p.logKappas += t.logKappa
	}
	return t
}

// observe lets a function's account learn. Calls of a function that may not have what it wants say nothing of kappa.
func (p *Planner) observe(pl *plan, calls, cold int) {
	if pl.tenant == nil || pl.limits.clips(pl.verdict.busy+pl.verdict.idle) {
		return
	}
	p.logKappas -= pl.tenant.logKappa
	pl.tenant.observe(calls, cold, p.opts.TargetCold)
	p.logKappas += pl.tenant.logKappa
}

// tenantMean is the geometric mean of what is learnt.
func (p *Planner) tenantMean() time.Duration {
	return time.Duration(math.Exp(p.logKappas/float64(len(p.tenants))) * float64(time.Second))
}
