package prewarm

import (
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast"
	"github.com/forewarm/forewarm/forecast/gap"
)

// Planner turns news into levels and a node target. It is not safe for concurrent use.
type Planner struct {
	opts      Options
	plans     []*plan       // by dispatcher.FnID; nil where nothing is known
	known     map[key]*plan // the same, and those that only a history tells of
	limits    map[key]*limits
	tenants   map[string]*tenant // by account; empty unless kappa is learnt
	logKappas float64            // sum over tenants
	sizes     int64              // bytes, sum over the functions whose memory is known
	sized     int64              // how many those are
	due       dueHeap
	pending   []*plan // functions to be worked out, left over from the last round
	nodes     nodePlan
	round     time.Duration // length of the present round
	readAt    time.Duration // when the news was last read
	saved     map[key]saved // loaded, and not called since
	Unread    uint64        // states that were loaded and could not be read
	Carried   uint64        // schedules that were left over for a later round, in all
}

// New makes a Planner that knows nothing.
func New(o Options) (*Planner, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Planner{opts: o, round: o.RoundMin, known: map[key]*plan{}, limits: map[key]*limits{}, tenants: map[string]*tenant{}, saved: map[key]saved{}}
	p.nodes, err = newNodePlan(o)
	return p, err
}

// Advance reads the news as of now and says what is wanted from now on. Next is when it wants to be called again,
// with or without news: at the latest a round from now.
func (p *Planner) Advance(now time.Duration, news *dispatcher.News, out *Decisions) (next time.Duration) {
	out.Reset()
	moved := false
	for i := range news.Functions {
		if err := p.learn(now, &news.Functions[i]); err == nil {
			moved = true
		}
	}
	for pl := p.due.pop(now); pl != nil; pl = p.due.pop(now) {
		p.queue(pl)
	}
	changed := p.workOut(now, out)
	p.nodes.kappa = p.nodeKappaOf(news.Nodes.Memory)
	p.nodes.advance(now, &news.Nodes, out)
	p.pace(now, moved || changed)
	if len(p.pending) > 0 {
		return now
	}
	next = p.readAt + p.round
	if len(p.due) > 0 {
		next = min(next, p.due[0].dueAt)
	}
	return max(min(next, p.nodes.next), now+time.Millisecond)
}

// pace shortens the round while things move and lengthens it while nothing does.
func (p *Planner) pace(now time.Duration, moved bool) {
	if moved {
		p.round = p.opts.RoundMin
	} else {
		p.round = min(p.round*3/2, p.opts.RoundMax)
	}
	p.readAt = now
}

// learn replays one function's news. News without events tells that the function exists.
func (p *Planner) learn(now time.Duration, n *dispatcher.FunctionNews) error {
	from := now
	if len(n.Events) > 0 {
		from = n.Events[0].At
	}
	pl, err := p.plan(n.Fn, key{n.Function.Account, n.Function.Name}, from)
	if err != nil {
		return err
	}
	p.sizeOf(pl, n.Function.Memory)
	p.priceOf(pl, n.Start)
	calls, missed := 0, 0
	watched := p.watches(pl)
	for _, e := range n.Events {
		pl.replay(e, watched)
		switch e.Kind {
		case dispatcher.Queued:
			calls++
			missed++
		case dispatcher.Arrived:
			calls++
		}
	}
	pl.called = pl.called || len(n.Events) > 0
	if n.Dropped > 0 {
		pl.resync(now, n.Busy)
	}
	pl.seq = n.Seq
	p.observe(pl, calls, missed)
	if n.ServiceMean > 0 {
		pl.price.service = n.ServiceMean
	}
	p.queue(pl)
	return nil
}

// Declare tells that a function exists, and by which number: one that is in the configuration and has not been called
// yet. Its floor, and what a history or a saved state says of it, then count as for any other. Memory is that of
// cluster.Function; 0: not known. News of a function without events declares it too.
func (p *Planner) Declare(now time.Duration, fn dispatcher.FnID, account, name string, memory int64) error {
	pl, err := p.plan(fn, key{account, name}, now)
	if err != nil {
		return err
	}
	if !pl.called {
		p.sizeOf(pl, memory)
		p.priceOf(pl, dispatcher.Times{})
	}
	p.queue(pl)
	return nil
}

// plan finds or makes what is known of a function that has a number.
func (p *Planner) plan(fn dispatcher.FnID, k key, from time.Duration) (*plan, error) {
	for int(fn) >= len(p.plans) {
		p.plans = append(p.plans, nil)
	}
	if pl := p.plans[fn]; pl != nil {
		return pl, nil
	}
	pl := p.known[k]
	if pl == nil {
		var err error
		if pl, err = p.newPlan(k, from); err != nil {
			return nil, err
		}
		p.restore(pl)
	} else if pl.declared { // it was removed, and is back under another number
		p.due.set(pl, gap.Never)
		pl.resync(from, 0)
		p.plans[pl.fn] = nil
		pl.seq, pl.said, pl.saidSeq = 0, false, 0
	}
	pl.fn, pl.declared = fn, true
	p.plans[fn] = pl
	return pl, nil
}

// newPlan makes an empty one, whose first event will be at from.
func (p *Planner) newPlan(k key, from time.Duration) (*plan, error) {
	pol, err := newPolicy(&p.opts, from)
	if err != nil {
		return nil, err
	}
	rate, err := forecast.NewPGMix(forecast.PGMixOptions{})
	if err != nil {
		return nil, err
	}
	pl := &plan{key: k, policy: pol, rate: rate, fed: from, dueAt: gap.Never, limits: p.limits[k], tenant: p.tenant(k.account)}
	p.priceOf(pl, dispatcher.Times{})
	p.known[k] = pl
	return pl, nil
}

func (p *Planner) queue(pl *plan) {
	if !pl.queued {
		pl.queued = true
		p.pending = append(p.pending, pl)
	}
}

// workOut decides the levels of queued functions, at most MaxItems, and says whether any changed.
func (p *Planner) workOut(now time.Duration, out *Decisions) (changed bool) {
	n := min(len(p.pending), p.opts.MaxItems)
	for _, pl := range p.pending[:n] {
		pl.queued = false
		changed = p.decide(now, pl, out) || changed
	}
	rest := copy(p.pending, p.pending[n:])
	clear(p.pending[rest:])
	p.pending = p.pending[:rest]
	p.Carried += uint64(rest)
	return changed
}

// decide works one function out and reports it if its level changed or it has been heard of.
func (p *Planner) decide(now time.Duration, pl *plan, out *Decisions) (changed bool) {
	pl.pass(now, p.watches(pl))
	v := pl.judge(now, p.opts.Mode, p.mayFall())
	v.why.Cause, v.why.Kappa, v.why.Lead = dispatcher.CauseForecast, pl.price.Kappa, pl.price.Lead
	if pl.limits != nil {
		pl.limits.look(now, pl.price.Lead, p.opts.Epoch)
		v.next = min(v.next, pl.limits.until)
	}
	want := pl.limits.apply(v.busy+v.idle, &v)
	v.why.Want = int32(want)
	changed = want != pl.want || !pl.said
	pl.verdict, pl.decidedAt = v, now
	if pl.arrived > 0 { // silence is taken in one step, when somebody asks
		pl.feed(now)
	}
	if changed || pl.seq != pl.saidSeq {
		out.Levels = append(out.Levels, dispatcher.Level{Fn: pl.fn, Want: want, Seen: pl.seq, Worth: v.worth, Why: v.why})
		pl.want, pl.said, pl.saidSeq = want, true, pl.seq
	}
	if v.next != gap.Never {
		v.next = max(v.next, now+time.Millisecond)
	}
	p.due.set(pl, v.next)
	return changed
}

// mayFall says whether a function whose forecasts lose is left to the keep-alive. A rate policy was chosen by name, to
// see what it does.
func (p *Planner) mayFall() bool { return p.opts.Policy == dispatcher.ModelGap && !p.opts.NoFallback }
