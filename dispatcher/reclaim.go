package dispatcher

import (
	"cmp"
	"slices"
	"time"
)

// candidate is a container as it was when reclaim looked at it.
type candidate struct {
	c       *container
	idle    bool
	surplus bool          // more than the levels wanted
	worth   float64       // of its level, per second of its cost
	since   time.Duration // idle since
}

// reclaim looks for containers to give up for the first in line. An idle container that no level wants goes at
// once. One that is wanted, or busy, goes only when no node can be had: the least worth first, and a busy one
// only from a function that holds more than its share. Each function's mutex is taken in turn, the ledger's
// only to read the line.
func (c *Core) reclaim(now time.Duration, fx *Effects) {
	first, nodes, last := c.ledger.firstShort(now)
	if first == nil {
		return
	}
	var best []candidate
	for _, containers := range nodes {
		if v := c.victims(now, containers.list, containers.free, first, last); v != nil && (best == nil || cost(v) < cost(best)) {
			best = v
		}
	}
	if best == nil {
		if last {
			c.evictBusy(first, nodes, fx)
		}
		return
	}
	c.ledger.countReclaimed(len(best))
	for _, v := range best {
		fx.work = append(fx.work, work{kind: workRetire, f: v.c.fn, c: v.c, why: Reason{Cause: CauseReclaim, Memory: first.memory, Idle: now - v.since}})
	}
}

// nodeView is one node's containers and free memory at a moment.
type nodeView struct {
	list []*container
	free int64
}

// firstShort is the first in line for whom calls wait, the nodes, and whether no further node can be had now.
func (l *ledger) firstShort(now time.Duration) (*queued, []nodeView, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first *queued
	for _, q := range l.fairOrder() {
		if q.class() == 0 {
			copied := *q
			first = &copied
			break
		}
	}
	if first == nil {
		return nil, nil, false
	}
	var views []nodeView
	for _, n := range l.live() {
		free := n.free()
		for _, ct := range n.containers { // what is going already comes free by itself
			if ct.going.Load() {
				free += ct.memory
			}
		}
		if free >= first.memory {
			return nil, nil, false
		}
		views = append(views, nodeView{sortedByID(n.containers), free})
	}
	capped := len(l.nodes)+len(l.asked) >= l.opts.MaxNodes
	return first, views, capped || l.failures > 0 && now < l.retryAt
}

// victims picks the containers of one node that make room for first, or nil when they cannot.
func (c *Core) victims(now time.Duration, list []*container, free int64, first *queued, last bool) []candidate {
	var cs []candidate
	for _, ct := range list {
		v := ct.fn.appraise(now, ct)
		if v.idle && (v.surplus || last) && ct.fn != first.f {
			cs = append(cs, v)
		}
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.price(), b.price()), cmp.Compare(a.since, b.since), cmp.Compare(a.c.id, b.c.id))
	})
	for i, v := range cs {
		if free += v.c.memory; free >= first.memory {
			return cs[:i+1]
		}
	}
	return nil
}

func (v candidate) price() float64 {
	if v.surplus {
		return 0
	}
	return 1 + v.worth
}

func cost(cs []candidate) (sum float64) {
	for _, v := range cs {
		sum += v.price() * float64(v.c.memory)
	}
	return sum
}

func (f *function) appraise(now time.Duration, c *container) candidate {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clamp(now)
	v := candidate{c: c, worth: f.worth, since: c.idleSince}
	v.idle = c.state == ready && !c.retiring && c.leases == 0
	v.surplus = f.covered-c.covers >= max(f.leases.n+f.line.n, f.want) && (c.idleSeq <= f.seen || f.silent())
	return v
}

// evictBusy has the function that holds the most memory, in the account that holds the most, give up one
// container after its calls, so that a function without any does not starve. It does nothing while one is
// going already, or when the two would only change places.
func (c *Core) evictBusy(first *queued, nodes []nodeView, fx *Effects) {
	var victim *container
	var most int64
	l := c.ledger
	l.mu.Lock()
	need := l.functions[first.f] + first.memory
	for _, n := range nodes {
		for _, ct := range n.list {
			if ct.going.Load() {
				l.mu.Unlock()
				return
			}
			held := l.functions[ct.fn]
			if ct.fn != first.f && held-ct.memory >= need && ct.memory+n.free >= first.memory && (victim == nil || held > most) {
				victim, most = ct, held
			}
		}
	}
	l.mu.Unlock()
	if victim != nil {
		fx.work = append(fx.work, work{kind: workRetire, f: victim.fn, c: victim, why: Reason{Cause: CauseReclaim, Memory: first.memory}})
	}
}

func (l *ledger) countReclaimed(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reclaimed += uint64(n)
}
