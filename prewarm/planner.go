package prewarm

import (
	"container/heap"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast"
	"github.com/forewarm/forewarm/forecast/gap"
)

// Planner turns news into levels and a node target. It is not safe for concurrent use.
type Planner struct {
	opts    Options
	plans   []*plan // by dispatcher.FnID; nil where nothing is known
	due     dueHeap
	pending []*plan // functions to be worked out, left over from the last round
	nodes   nodePlan
	round   time.Duration // length of the present round
	readAt  time.Duration // when the news was last read
	saved   map[key]saved // loaded, and not called since
	Unread  uint64        // states that were loaded and could not be read
	Carried uint64        // schedules that were left over for a later round, in all
}

type key struct{ account, name string }

// plan is what the planner knows of one function.
type plan struct {
	fn        dispatcher.FnID
	key       key
	policy    policy
	rate      *forecast.PGMix // for people, and for other systems' replicas
	arrived   int             // since rate was fed
	fed       time.Duration
	price     price
	busy      int
	last      time.Duration   // of the events replayed
	leaving   []time.Duration // guessed virtual departures of calls that wait, soonest first
	guessed   int             // calls with a guess that have not left yet
	seq       uint64
	want      int // as last said
	verdict   verdict
	decidedAt time.Duration // when verdict was given
	dueAt     time.Duration
	queued    bool // in pending
	said      bool
	saidSeq   uint64
}

// New makes a Planner that knows nothing.
func New(o Options) (*Planner, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Planner{opts: o, round: o.RoundMin, saved: map[key]saved{}}
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
	p.wakeDue(now)
	changed := p.workOut(now, out)
	p.nodes.advance(now, &news.Nodes, out)
	p.pace(now, moved || changed)
	if len(p.pending) > 0 {
		return now
	}
	next = p.readAt + p.round
	if len(p.due) > 0 {
		next = min(next, p.due[0].at)
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

// learn replays one function's news.
func (p *Planner) learn(now time.Duration, n *dispatcher.FunctionNews) error {
	pl, err := p.plan(n)
	if err != nil {
		return err
	}
	for _, e := range n.Events {
		pl.replay(e)
	}
	if n.Dropped > 0 {
		pl.resync(now, n.Busy)
	}
	pl.seq = n.Seq
	pl.price = p.priceOf(n)
	p.queue(pl)
	return nil
}

// plan finds or makes what is known of a function.
func (p *Planner) plan(n *dispatcher.FunctionNews) (*plan, error) {
	for int(n.Fn) >= len(p.plans) {
		p.plans = append(p.plans, nil)
	}
	if pl := p.plans[n.Fn]; pl != nil {
		return pl, nil
	}
	pol, err := newPolicy(&p.opts)
	if err != nil {
		return nil, err
	}
	rate, err := forecast.NewPGMix(forecast.PGMixOptions{})
	if err != nil {
		return nil, err
	}
	pl := &plan{fn: n.Fn, key: key{n.Function.Account, n.Function.Name}, policy: pol, rate: rate, dueAt: gap.Never}
	if len(n.Events) > 0 {
		pl.fed = n.Events[0].At
	}
	p.restore(pl)
	p.plans[n.Fn] = pl
	return pl, nil
}

// replay follows virtual occupancy, in which every call is served at once. When a call that waits will have been
// served, had it not waited, is known only when it is gone; until then it counts for a mean service time.
func (pl *plan) replay(e dispatcher.Event) {
	pl.pass(e.At)
	switch {
	case e.Kind == dispatcher.Arrived:
		pl.arrive(e.At)
	case e.Kind == dispatcher.Queued:
		pl.arrive(e.At)
		if s := pl.price.service; s > 0 {
			pl.guessed++
			pl.leaving = append(pl.leaving, e.At+s)
		}
	case e.Wait > 0 && pl.guessed > 0:
		pl.guessed-- // it has gone, or goes when its guess is up
	default:
		pl.depart(max(e.At-e.Wait, pl.last))
	}
}

func (pl *plan) arrive(at time.Duration) {
	pl.busy++
	pl.arrived++
	pl.last = max(pl.last, at)
	pl.policy.arrive(at)
}

func (pl *plan) depart(at time.Duration) {
	pl.busy = max(0, pl.busy-1)
	pl.last = max(pl.last, at)
	pl.policy.depart(at)
}

// pass lets those go whose guessed service is over by now.
func (pl *plan) pass(now time.Duration) {
	n := 0
	for n < len(pl.leaving) && pl.leaving[n] <= now {
		pl.depart(max(pl.leaving[n], pl.last))
		n++
	}
	pl.leaving = append(pl.leaving[:0], pl.leaving[n:]...)
}

// resync brings the occupancy back to the truth after events were lost.
func (pl *plan) resync(now time.Duration, busy int) {
	pl.leaving, pl.guessed = pl.leaving[:0], 0
	if g, ok := pl.policy.(*byGap); ok { // a gap that ran across lost events would teach a wrong law
		g.levels.Reset(now, busy)
		pl.busy = busy
		return
	}
	for pl.busy < busy {
		pl.arrive(now)
	}
	for pl.busy > busy {
		pl.depart(now)
	}
}

// priceOf puts together what holding, starting and missing cost for a function. The lead is the quantile
// kappa/(kappa+L) of its start times: the newsvendor's, with an early container costing idle time and a late one kappa.
func (p *Planner) priceOf(n *dispatcher.FunctionNews) price {
	start, lead := p.opts.Start, p.opts.Start
	if n.Start.N > 0 {
		start = n.Start.P50
		lead = max(start, n.Start.Quantile(p.opts.Kappa.Seconds()/(p.opts.Kappa+start).Seconds()))
	}
	return price{Price: gap.Price{Kappa: p.opts.Kappa, Start: start, Lead: lead}, service: n.ServiceMean}
}

func (p *Planner) queue(pl *plan) {
	if !pl.queued {
		pl.queued = true
		p.pending = append(p.pending, pl)
	}
}

// wakeDue queues the functions whose wanted level changes about now.
func (p *Planner) wakeDue(now time.Duration) {
	for len(p.due) > 0 && p.due[0].at <= now {
		e := heap.Pop(&p.due).(dueEntry)
		if e.pl.dueAt == e.at { // else it was superseded
			e.pl.dueAt = gap.Never
			p.queue(e.pl)
		}
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
	pl.pass(now)
	v := pl.policy.want(now, pl.price)
	if len(pl.leaving) > 0 {
		v.next = min(v.next, pl.leaving[0])
	}
	v.why.Cause, v.why.Kappa, v.why.Lead = dispatcher.CauseForecast, p.opts.Kappa, pl.price.Lead
	want := v.busy + v.idle
	changed = want != pl.want || !pl.said
	pl.verdict, pl.decidedAt = v, now
	pl.feed(now)
	if changed || pl.seq != pl.saidSeq {
		out.Levels = append(out.Levels, dispatcher.Level{Fn: pl.fn, Want: want, Seen: pl.seq, Worth: v.worth, Why: v.why})
		pl.want, pl.said, pl.saidSeq = want, true, pl.seq
	}
	if v.next < pl.dueAt {
		pl.dueAt = max(v.next, now+time.Millisecond)
		heap.Push(&p.due, dueEntry{pl.dueAt, pl})
	}
	return changed
}

// dueHeap holds the instants at which a function's wanted level changes by time alone.
type dueHeap []dueEntry

type dueEntry struct {
	at time.Duration
	pl *plan
}

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].pl.fn < h[j].pl.fn
}
func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(dueEntry)) }
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = dueEntry{}
	*h = old[:len(old)-1]
	return e
}
