package dispatcher

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// balance brings a function's containers in line with what waits and what is wanted. It serves the line, starts
// what the line will still need, starts what is wanted ahead, and drops what is not wanted any more.
func (f *function) balance(fx *Effects) {
	f.serve(fx)
	if f.now >= f.retryAt {
		f.startForLine(fx)
		f.startForWant(fx)
	} else if f.line.n > 0 || f.want > 0 {
		f.dueBy(f.retryAt)
	}
	f.drop(fx)
}

// startForLine starts containers for the part of the line that will still wait when they are ready. Of a function
// of which nothing is known it starts a few: the first that is ready serves the line.
func (f *function) startForLine(fx *Effects) {
	need := f.lineNeed()
	for need > 0 && (f.share.known() || f.starting.n+f.ready < unknownStart) {
		units := f.share.size(need, f.maxUnits())
		extra := !f.share.known() && f.starting.n > 0
		if !f.startOne(units, need, extra, f.whyLine(units), fx) {
			break
		}
		need -= f.share.admits(units)
	}
	if f.line.n > 0 { // the containers counted on may not come: look again
		f.dueBy(f.now + max(f.startMedian(), 10*time.Millisecond))
	}
}

// lineNeed is how many waiting calls neither a starting nor a busy container will have served by the time
// that a container started now is ready.
func (f *function) lineNeed() int {
	if f.line.n == 0 {
		return 0
	}
	need := f.line.n
	for c := f.starting.head; c != nil; c = c.next {
		if !c.retiring {
			need -= f.share.admits(c.units)
		}
	}
	return need - f.backSoon()
}

// backSoon is how many requests busy containers will have taken from the line by the time that a start takes:
// each finishes one per service time. It is 0 when none has done so for as long as a start takes.
func (f *function) backSoon() int {
	lead := f.startMedian()
	if f.leases.n == 0 || f.service == nil || f.now-max(f.line.head.arrived, f.lastServed) > lead {
		return 0
	}
	service := max(f.service.quantile(.5), time.Microsecond)
	return int(float64(f.leases.n) * min(lead.Seconds()/service.Seconds(), float64(f.line.n)))
}

// startForWant starts containers until the wanted levels are covered.
func (f *function) startForWant(fx *Effects) {
	for {
		short := f.want - f.covered
		for c := f.starting.head; c != nil; c = c.next {
			if !c.retiring {
				short -= f.share.admits(c.units)
			}
		}
		if short <= 0 {
			return
		}
		units := f.share.size(short, f.maxUnits())
		why := f.whyFor
		f.observe(&why)
		why.Units = units
		if !f.startOne(units, short, true, why, fx) {
			return
		}
	}
}

// maxUnits keeps a container to a third of a node, so that nodes can be packed.
func (f *function) maxUnits() int32 {
	n := int32(1)
	for int64(2*n)*f.cfg.Memory <= f.core.ledger.nodeMemory()/3 {
		n *= 2
	}
	return n
}

// startOne books memory and orders a start. It is false when there is no room now: then, unless extra, the
// function stands in the ledger's line and is offered memory when it comes free; with extra it stands behind
// all that wait.
func (f *function) startOne(units int32, need int, extra bool, why Reason, fx *Effects) bool {
	memory := int64(units) * f.cfg.Memory
	perContainer := f.share.admits(units)
	b := booking{memory: memory, extra: extra, waiting: f.line.n > 0, total: memory * int64((need+perContainer-1)/perContainer)}
	if f.line.n > 0 {
		b.since = f.line.head.arrived
	} else {
		b.since = f.now
	}
	n := f.core.ledger.book(f.now, f, b, fx)
	if n == nil {
		return false
	}
	f.startOn(n, units, why, fx)
	return true
}

// startOn orders the start of a container whose memory is booked on n.
func (f *function) startOn(n *node, units int32, why Reason, fx *Effects) {
	f.tally()
	c := f.core.ledger.newContainer(f, n, units)
	c.orderedAt, c.bucket = f.now, noRoom
	c.name = fmt.Sprintf("%s-%s-%d", f.core.opts.NamePrefix, f.cfg.Name, c.id)
	if f.all == nil {
		f.all = map[ContainerID]*container{}
	}
	f.all[c.id] = c
	f.starting.push(c)
	why.Units, why.Memory = units, c.memory
	c.order = f.core.orders.open(orderRef{kind: StartContainer, c: c})
	fx.Orders = append(fx.Orders, Order{ID: c.order, Kind: StartContainer, Fn: f.id, NodeID: n.id, Container: c.id,
		Node: n.desc, Function: c.cfg, Spec: specOf(c), Why: why})
}

// offered takes memory that came free for the function, or gives it back.
func (f *function) offered(n *node, memory int64, fx *Effects) {
	units := int32(memory / f.cfg.Memory)
	short := f.lineNeed()
	if short <= 0 {
		short = f.want - f.covered - f.startingRoom()
	}
	if short <= 0 || units == 0 || int64(units)*f.cfg.Memory != memory || f.now < f.retryAt || n.lost.Load() {
		fx.work = append(fx.work, work{kind: workUnbook, f: f, n: n, mem: memory})
	} else {
		why := f.whyLine(units)
		if f.line.n == 0 {
			why = f.whyFor
			f.observe(&why)
		}
		f.startOn(n, units, why, fx)
	}
	f.balance(fx)
}

func (f *function) startingRoom() int {
	room := 0
	for c := f.starting.head; c != nil; c = c.next {
		if !c.retiring {
			room += f.share.admits(c.units)
		}
	}
	return room
}

// drop stops idle containers beyond those that cover the levels needed. A container that is still starting
// never displaces a warm one: only ready ones count as cover.
func (f *function) drop(fx *Effects) {
	if f.idle == 0 || f.line.n > 0 {
		return
	}
	silent := f.silent()
	need := max(f.leases.n, f.want)
	if silent {
		need = f.leases.n
	}
	for f.idle > 0 {
		c := f.oldestIdle()
		if c == nil || f.covered-c.covers < need {
			return
		}
		why := Reason{Cause: CauseSurplus, Want: int32(f.want), Idle: f.now - c.idleSince}
		if silent {
			end := c.idleSince + f.keepAlive()
			if f.now < end {
				f.dueBy(end)
				return
			}
			why.Cause = CauseIdle
		} else if c.idleSeq > f.seen {
			f.dueBy(f.now + f.keepAlive()) // the planner has not spoken of it yet, and may fall silent
			return
		} else {
			why.Model, why.Level, why.Gaps, why.Kappa, why.Expect = f.whyFor.Model, f.whyFor.Level, f.whyFor.Gaps, f.whyFor.Kappa, f.whyFor.Expect
			why.Prob, why.Hold, why.Drop = f.whyFor.Prob, f.whyFor.Hold, f.whyFor.Drop
		}
		f.observe(&why)
		f.stop(c, why, fx)
	}
}

// silent says whether no planner is there to decide.
func (f *function) silent() bool {
	return f.now-time.Duration(f.core.plannerAt.Load()) > f.core.opts.Silence
}

// oldestIdle is the idle container that goes first: on a node that is being emptied, else the least recently used.
func (f *function) oldestIdle() *container {
	for c := f.last.tail; c != nil; c = c.prev {
		if c.leases == 0 {
			return c
		}
	}
	if len(f.room) > 0 {
		return f.room[0].tail
	}
	return nil
}

// whyLine is the reason of a start for calls that wait.
func (f *function) whyLine(units int32) Reason {
	r := Reason{Cause: CauseWaiting, Units: units, Lead: f.startMedian(), Kappa: f.core.opts.Kappa}
	if !f.share.known() {
		r.Clip = ClipUnknown
	}
	f.observe(&r)
	return r
}

// observe adds to a reason what the core sees of the function.
func (f *function) observe(r *Reason) {
	r.Waiting, r.Leased = int32(f.line.n), int32(f.leases.n)
	r.Ready, r.Starting, r.Want = int32(f.ready), int32(f.starting.n), int32(f.want)
}

func sortContainers(cs []*container) {
	slices.SortFunc(cs, func(a, b *container) int {
		return cmp.Or(cmp.Compare(a.idleSince, b.idleSince), cmp.Compare(a.id, b.id))
	})
}
