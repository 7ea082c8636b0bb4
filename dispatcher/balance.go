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
	stood := f.standing
	f.standing = false
	if f.now >= f.retryAt {
		f.startForLine(fx)
		f.startForWant(fx)
	} else if f.line.n > 0 || f.want > 0 {
		f.dueBy(f.retryAt)
	}
	if stood && !f.standing { // what it stood there for is not needed any more
		f.core.ledger.leaveLine(f)
	}
	f.drop(fx)
	f.deserved.Store(f.owed())
}

// startForLine starts containers for the part of the line that will still wait when they are ready. Of a function
// of which nothing is known it starts a few: the first that is ready serves the line.
func (f *function) startForLine(fx *Effects) {
	need := f.lineNeed()
	for need > 0 && f.mayGrow() && !f.full() {
		units := f.share.size(need, f.maxUnits())
		units, ok := f.startOne(f.lineBooking(units, need), f.whyLine(units), fx)
		if !ok {
			break
		}
		need -= f.share.admits(units)
	}
	if f.line.n > 0 { // the containers counted on may not come: look again
		f.dueBy(f.now + max(f.startMedian(), 10*time.Millisecond))
	}
}

// mayGrow says whether to start by numbers. Of a function of which little was measured there are only a few containers,
// and one more for each call that has come back.
func (f *function) mayGrow() bool {
	return f.share.measuredWell() || f.starting.n+f.ready < unknownStart+int(f.share.returns)
}

// startForWant starts containers until the wanted levels are covered. While the line stands for memory nothing is
// started ahead.
func (f *function) startForWant(fx *Effects) {
	for !f.standing && f.mayGrow() && !f.full() {
		short := f.want - f.covered - f.startingRoom()
		if short <= 0 {
			return
		}
		units := f.share.size(short, f.maxUnits())
		why := f.whyFor
		f.observe(&why)
		b := booking{class: ahead, memory: f.memoryOf(units), since: f.now}
		if f.whyFor.Cause == CauseMinimum {
			b.promised = f.memoryOf(int32(short))
		}
		if _, ok := f.startOne(b, why, fx); !ok {
			return
		}
	}
}

// maxUnits keeps a container to a third of a node, so that nodes can be packed, and to what the function deserves: what it
// has beyond that is in pieces that can be given up one by one.
func (f *function) maxUnits() int32 {
	most := min(f.core.ledger.nodeMemory()/3, f.deserves())
	n := int32(1)
	for f.memoryOf(2*n) <= most {
		n *= 2
	}
	return n
}

func (f *function) memoryOf(units int32) int64 { return int64(units) * f.cfg.Memory }

// startOne books memory and orders a start: of the size that is asked for, or of as many halves of it as there is
// room for now. When there is none at all it is false: then the function stands in the ledger's line, and is
// offered memory when it comes free.
func (f *function) startOne(b booking, why Reason, fx *Effects) (units int32, ok bool) {
	b.unit = f.cfg.Memory
	n, memory := f.core.ledger.book(f.now, f, b, fx)
	if n == nil {
		f.standing = true
		return 0, false
	}
	units = int32(memory / f.cfg.Memory)
	f.startOn(n, units, why, fx)
	return units, true
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
		Node: n.desc, Function: c.cfg, Spec: specOf(c), Slot: c.slot, Concurrency: f.share.limit, Why: why})
}

// offered takes memory that came free for the function, or gives it back.
func (f *function) offered(n *node, memory int64, fx *Effects) {
	units := int32(memory / f.cfg.Memory)
	short := f.lineNeed()
	if short <= 0 {
		short = f.want - f.covered - f.startingRoom()
	}
	if short <= 0 || !wholeUnits(units, memory, f.cfg.Memory) || f.now < f.retryAt || n.lost.Load() || f.full() {
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

// wholeUnits says whether memory, booked before the function's configuration may have changed, is that of a
// container of so many units.
func wholeUnits(units int32, memory, unit int64) bool {
	return units > 0 && units&(units-1) == 0 && int64(units)*unit == memory
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
