package dispatcher

import (
	"fmt"
	"time"
)

// Return ends a lease. A return of a lease that is not live changes nothing and says so.
//
// Errors wrap ErrInvalid and ErrUnknownLease.
func (c *Core) Return(now time.Duration, r Returned, fx *Effects) error {
	if r.Duration < 0 || r.MaxMemory < 0 {
		return fmt.Errorf("%w: return of %.64q: duration_in_nanos %d and max_memory_usage_in_bytes %d must not be negative; the lease is still live",
			ErrInvalid, r.RequestID, r.Duration, r.MaxMemory)
	}
	ct := c.find(r.ContainerID)
	if ct == nil {
		return fmt.Errorf("%w: container %.64q is not known", ErrUnknownLease, r.ContainerID)
	}
	f := ct.fn
	f.mu.Lock()
	k := f.calls[r.RequestID]
	if k == nil {
		k = f.ghostOf(ct)
	}
	if k == nil || k.c != ct {
		f.mu.Unlock()
		return fmt.Errorf("%w: request %.64q has none of container %.64q; it was returned already, expired, or never acquired",
			ErrUnknownLease, r.RequestID, r.ContainerID)
	}
	f.clamp(now)
	f.finish(k, &r, fx)
	f.mu.Unlock()
	if len(fx.work) > 0 {
		c.settle(now, fx)
	}
	return nil
}

// finish ends k's lease as r tells, and learns from it.
func (f *function) finish(k *call, r *Returned, fx *Effects) {
	ct, took := k.c, f.now-k.from
	f.count.Returned++
	if r.Unused {
		f.endLease(k, fx)
		f.released(ct, fx)
		return
	}
	f.count.ServiceSum += took
	if f.service == nil {
		f.service = new(hist)
	}
	f.service.add(took)
	crowd := max(k.crowd, ct.crowd)
	f.endLease(k, fx)
	if r.Failed {
		f.count.Failed++
		why := Reason{Cause: CauseFailed}
		if r.OutOfMemory {
			why.Cause = CauseMemory
			f.share.outOfMemory(crowd)
			f.recount()
		}
		f.stop(ct, why, fx)
		f.balance(fx)
		return
	}
	ct.most, ct.mark = max(ct.most, ct.crowd), max(ct.mark, r.MaxMemory)
	f.share.returned(crowd, ct.most, ct.units, ct.mark, took)
	if f.share.ripe() {
		f.recount()
	}
	f.released(ct, fx)
}

// endLease takes k off its container and frees it.
func (f *function) endLease(k *call, fx *Effects) {
	ct := k.c
	f.leases.remove(k)
	if k.cprev != nil {
		k.cprev.cnext = k.cnext
	} else {
		ct.calls = k.cnext
	}
	if k.cnext != nil {
		k.cnext.cprev = k.cprev
	}
	f.withdraw(ct)
	ct.meter(f.now)
	ct.leases--
	ct.note()
	if k.served != Warm {
		k.wait = max(k.wait, 1)
	}
	f.tell(Left, k.wait, fx)
	if ct.leases == 0 && ct.state == ready && !ct.retiring {
		f.idle++
		ct.idleSince, ct.idleSeq = f.now, f.newsSeq
	}
	f.free(k)
}

// released finds the next use of a container that has room again.
func (f *function) released(ct *container, fx *Effects) {
	f.enroll(ct)
	switch {
	case ct.leases == 0 && ct.retiring:
		f.stop(ct, ct.why, fx)
		f.balance(fx)
	case f.line.n > 0:
		f.balance(fx)
	case ct.leases == 0 && ct.bucket == lastRoom:
		f.balance(fx)
	case ct.leases == 0:
		f.dueBy(f.now + f.keepAlive())
	}
}

// expire ends what is overdue: waits past their deadline and leases never returned.
func (f *function) expire(fx *Effects) {
	for k := f.line.head; k != nil; {
		next := k.next
		if k.due <= f.now {
			f.giveUp(k, fx)
		}
		k = next
	}
	for f.leases.n > 0 && f.leases.head.due <= f.now {
		k := f.leases.head
		ct := k.c
		f.count.Expired++
		f.endLease(k, fx)
		f.stop(ct, Reason{Cause: CauseExpired}, fx) // nobody knows what runs in it
	}
}

// giveUp tells a waiting call, and those that share its place, that its time is over.
func (f *function) giveUp(k *call, fx *Effects) {
	err := fmt.Errorf("%w: function %q, waited %v", ErrDeadline, f.cfg.Name, (f.now - k.arrived).Round(time.Millisecond))
	if f.failures > 0 {
		err = fmt.Errorf("%w; its last start failed: %s", err, f.lastFailed)
	}
	if f.ready+f.starting.n == 0 {
		if why := f.core.ledger.refusal(); why != "" {
			err = fmt.Errorf("%w; no node could be had: %s", err, why)
		}
	}
	f.count.TimedOut++
	f.endWait(k, err, fx)
}

// endWait ends a wait, and those that share its place, with an error.
func (f *function) endWait(k *call, err error, fx *Effects) {
	fx.Grants = append(fx.Grants, Grant{Ticket: f.ticket(k), Waiter: k.waiter, Err: err})
	for t := k.twins; t != nil; t = t.twins {
		fx.Grants = append(fx.Grants, Grant{Ticket: f.ticket(t), Waiter: t.waiter, Err: err})
	}
	f.leaveLine(k, fx)
}
