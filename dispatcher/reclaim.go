package dispatcher

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// candidate is a container as it was when reclaim looked at it.
type candidate struct {
	c     *container
	idle  bool
	spare bool          // no level wants it
	sole  bool          // its function has no other that is ready
	soon  bool          // its calls end while a claim has patience left
	rests bool          // idle for as long as a start of its function takes: not in the middle of a burst
	worth float64       // of its level, container-seconds
	since time.Duration // idle since
}

// reclaim looks for containers to give up for the first in line. Each function's mutex is taken in turn, the ledger's
// only to read the line. When none may be given up for calls that need memory, a node is asked for; where
// none can be had, the function that holds most gives up a busy one.
func (c *Core) reclaim(now time.Duration, fx *Effects) {
	cl := c.ledger.claim(now)
	if cl.coming {
		return
	}
	var best []candidate
	for _, n := range cl.nodes {
		if v := c.victims(now, n, &cl); v != nil && (best == nil || cost(v) < cost(best)) {
			best = v
		}
	}
	if best == nil {
		if cl.last && cl.first.class == needed {
			c.evictBusy(&cl.first, cl.nodes, fx)
		}
		var bare int64
		if cl.first.bare {
			bare = cl.first.unit
		}
		c.ledger.nothingGivesWay(now, c, bare, fx)
		return
	}
	c.ledger.countReclaimed(len(best))
	for _, v := range best {
		fx.work = append(fx.work, work{kind: workRetire, f: v.c.fn, c: v.c, why: Reason{Cause: CauseReclaim, Memory: cl.first.unit, Idle: now - v.since}})
	}
}

// claim is the case of the first in line.
type claim struct {
	first  queued
	coming bool // there is no first, or room for it is coming
	nodes  []nodeView
	last   bool                // no further node can be had now
	late   bool                // the first has waited longer than the patience
	paid   bool                // the waits have cost as much as a node
	booked map[*function]int64 // bytes, of all functions
}

// nodeView is one node's containers and free memory at a moment.
type nodeView struct {
	list []*container
	free int64
}

func (l *ledger) claim(now time.Duration) (cl claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	order := l.fairOrder()
	if len(order) == 0 || order[0].class != needed {
		cl.coming = true
		return cl
	}
	cl.first = *order[0]
	cl.late = now-cl.first.since > l.opts.Patience
	for _, n := range l.live() {
		if n.cordoned { // its room is nobody's
			continue
		}
		free := n.free()
		for _, ct := range n.containers { // what is going already comes free by itself
			if ct.going.Load() {
				free += ct.memory
			}
		}
		if free >= cl.first.unit {
			cl.coming = true
			return cl
		}
		cl.nodes = append(cl.nodes, nodeView{sortedByID(n.containers), free})
	}
	cl.paid = l.nodePaid(now)
	cl.booked = maps.Clone(l.functions)
	cl.last = len(l.nodes)+len(l.asked) >= l.opts.MaxNodes || l.failures > 0 && now < l.retryAt
	return cl
}

// victims picks the containers of one node that make room for the first in line, or nil when they cannot.
func (c *Core) victims(now time.Duration, n nodeView, cl *claim) []candidate {
	var cs []candidate
	for _, ct := range n.list {
		if ct.fn != cl.first.f {
			if v, ok := ct.fn.appraise(now, ct); ok {
				cs = append(cs, v)
			}
		}
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.price(), b.price()), cmp.Compare(a.since, b.since), cmp.Compare(a.c.id, b.c.id))
	})
	free := n.free
	left := map[*function]int64{}
	var taken []candidate
	for _, v := range cs {
		f := v.c.fn
		if _, ok := left[f]; !ok {
			left[f] = cl.booked[f]
		}
		if !cl.mayTake(v, left[f]-v.c.memory) {
			continue
		}
		left[f] -= v.c.memory
		taken = append(taken, v)
		if free += v.c.memory; free >= cl.first.unit {
			return taken
		}
	}
	return nil
}

// mayTake says whether a container may be given up for the first in line, when its function is then left with so many bytes.
//
// A spare one may. A wanted or busy one may, but for a function's only one, when it is more than its function deserves:
// what is pleasant to have gives way to what is needed before a node is reserved for that. A function without any
// container gets one of a function that has several in any case, unless a node is paid for. Only when no node can be
// had does an idle one go to a function that has some that its own deserves: not in the middle of a burst, and
// not when the first would then hold more, lest the two change places for ever. A function's only one goes to a
// function that has none.
func (cl *claim) mayTake(v candidate, left int64) bool {
	mine := cl.booked[cl.first.f]
	switch {
	case v.spare && !v.sole:
		return true
	case v.sole:
		return mine == 0 && (v.spare && cl.last || v.rests && (v.spare || cl.last))
	case !v.idle && !v.soon:
		return false
	case left >= v.c.fn.deserved.Load(), cl.first.bare && !cl.paid:
		return true
	}
	return cl.last && v.rests && (mine == 0 || cl.late && left >= mine+cl.first.unit)
}

// price orders candidates: spare ones first, then those for which no other of their function can stand in, then
// wanted ones by worth, and busy ones, which go after their calls, last.
func (v candidate) price() float64 {
	switch {
	case v.spare && !v.sole:
		return 0
	case v.sole:
		return 3 + v.worth/(1+v.worth)
	case v.rests:
		return 1 + v.worth/(1+v.worth)
	case v.idle:
		return 2
	}
	return 2.5
}

func cost(cs []candidate) (sum float64) {
	for _, v := range cs {
		sum += v.price() * float64(v.c.memory)
	}
	return sum
}

// appraise says what a container is worth to its function; ok is false when it is not ready or is going already.
func (f *function) appraise(now time.Duration, c *container) (v candidate, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clamp(now)
	if c.state != ready || c.retiring {
		return v, false
	}
	v = candidate{c: c, worth: f.worth, since: c.idleSince, sole: f.ready == 1, idle: c.leases == 0}
	v.rests = v.idle && f.now-c.idleSince >= f.startMedian()
	v.soon = f.service != nil && f.serviceTime() <= f.core.opts.Patience/2
	v.spare = v.idle && f.isSpare(c)
	return v, true
}

// isSpare says whether no call and no level needs an idle container. With a planner that is the planner's word;
// without, a container is kept alive for a while.
func (f *function) isSpare(c *container) bool {
	left, busy := f.covered-c.covers, f.leases.n+f.line.n
	if f.silent() {
		return left >= busy && f.now >= c.idleSince+f.keepAlive()
	}
	return left >= max(busy, f.want) && c.idleSeq <= f.seen
}

// evictBusy has the function that holds the most memory, in the account that holds the most, give up one
// container after its calls, so that a function without any does not starve. It does nothing while one is
// going already, or when the two would only change places.
func (c *Core) evictBusy(first *queued, nodes []nodeView, fx *Effects) {
	var victim *container
	var most int64
	l := c.ledger
	l.mu.Lock()
	need := l.functions[first.f] + first.unit
	for _, n := range nodes {
		for _, ct := range n.list {
			if ct.going.Load() {
				l.mu.Unlock()
				return
			}
			held := l.functions[ct.fn]
			if ct.fn != first.f && held-ct.memory >= need && ct.memory+n.free >= first.unit && (victim == nil || held > most) {
				victim, most = ct, held
			}
		}
	}
	l.mu.Unlock()
	if victim != nil {
		fx.work = append(fx.work, work{kind: workRetire, f: victim.fn, c: victim, why: Reason{Cause: CauseReclaim, Memory: first.unit}})
	}
}

func (l *ledger) countReclaimed(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reclaimed += uint64(n)
}
