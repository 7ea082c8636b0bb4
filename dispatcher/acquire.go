package dispatcher

import (
	"fmt"
	"strings"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// Bounds on what a call may ask for.
const (
	maxIDLen    = 1024
	minMemory   = cluster.MiB
	maxTimeout  = 24 * time.Hour
	baseTimeout = time.Minute // for functions that name none
)

// check refuses what cannot be meant, and says how it would be right.
func (r *Request) check(nodeMemory int64) error {
	f := &r.Function
	switch {
	case r.ID == "":
		return fmt.Errorf("%w: request_id is empty; it names the call for its return", ErrInvalid)
	case strings.HasPrefix(r.ID, ghost):
		return fmt.Errorf("%w: request_id begins with %q, which is kept for leases of an earlier run", ErrInvalid, ghost)
	case len(r.ID) > maxIDLen:
		return fmt.Errorf("%w: request_id is %d bytes long, at most %d are taken", ErrInvalid, len(r.ID), maxIDLen)
	case f.Name == "":
		return fmt.Errorf("%w: function_name is empty", ErrInvalid)
	case len(f.Name) > maxIDLen || len(f.Account) > maxIDLen || len(f.Handler) > maxIDLen:
		return fmt.Errorf("%w: function_name, account_id and handler take at most %d bytes each", ErrInvalid, maxIDLen)
	case f.Memory < minMemory:
		return fmt.Errorf("%w: function %q: memory_in_bytes is %d, it must be at least %d (1 MiB)", ErrInvalid, f.Name, f.Memory, minMemory)
	case f.Memory > nodeMemory:
		return fmt.Errorf("%w: function %q: memory_in_bytes is %d, a node has only %d", ErrInvalid, f.Name, f.Memory, nodeMemory)
	case f.Timeout < 0 || f.Timeout > maxTimeout:
		return fmt.Errorf("%w: function %q: timeout_in_ms is %d, it must be between 0 (default) and %d", ErrInvalid, f.Name,
			f.Timeout.Milliseconds(), maxTimeout.Milliseconds())
	case r.Concurrency < 0:
		return fmt.Errorf("%w: function %q: concurrency is %d, it must not be negative", ErrInvalid, f.Name, r.Concurrency)
	}
	return nil
}

// Acquire gives the call a container, or a place in the waiting line: then the Grant comes later, from whichever
// call of the core makes a container free. The ticket's Seq is 0 when a lease or an error is returned.
//
// Errors wrap ErrInvalid, ErrLineFull, ErrLimit, ErrNoStart, ErrPaused and ErrClosing.
func (c *Core) Acquire(now time.Duration, r Request, fx *Effects) (Lease, Ticket, error) {
	if err := r.check(c.ledger.nodeMemory()); err != nil {
		return Lease{}, Ticket{}, err
	}
	if c.closing.Load() {
		return Lease{}, Ticket{}, ErrClosing
	}
	f := c.lookup(&r)
	f.mu.Lock()
	f.clamp(now)
	lease, ticket, err := f.acquire(&r, fx)
	f.mu.Unlock()
	if len(fx.work) > 0 {
		c.settle(now, fx)
	}
	return lease, ticket, err
}

func (f *function) acquire(r *Request, fx *Effects) (Lease, Ticket, error) {
	if old := f.calls[r.ID]; old != nil {
		if old.c != nil {
			return f.lease(old), Ticket{}, nil
		}
		return Lease{}, f.joinTwin(old, r), nil
	}
	if f.limits.Paused {
		f.count.Refused++
		return Lease{}, Ticket{}, fmt.Errorf("%w: %q", ErrPaused, f.cfg.Name)
	}
	if f.changed(r) {
		f.reconfigure(r, fx)
	}
	if f.line.n == 0 {
		if ct := f.pick(); ct != nil {
			f.tell(Arrived, 0, fx)
			k := f.newCall(r)
			k.served = Warm
			f.count.Warm++
			f.grant(k, ct)
			return f.lease(k), Ticket{}, nil
		}
	}
	if err := f.refuseBroken(); err != nil {
		f.count.Refused++
		return Lease{}, Ticket{}, err
	}
	if err := f.mayWait(); err != nil {
		f.count.Refused++
		return Lease{}, Ticket{}, err
	}
	f.tell(Queued, 0, fx)
	k := f.newCall(r)
	f.line.push(k)
	f.expectLate(k)
	f.dueBy(k.due)
	f.balance(fx)
	return Lease{}, f.ticket(k), nil
}

func (f *function) changed(r *Request) bool {
	return f.cfg.Memory != r.Function.Memory || f.cfg.Timeout != r.Function.Timeout ||
		f.cfg.Handler != r.Function.Handler || f.share.limit != r.Concurrency
}

// reconfigure begins a new generation: old containers finish what they hold and go.
func (f *function) reconfigure(r *Request, fx *Effects) {
	cfg := r.Function
	f.cfg = &cfg
	f.share = sharing{limit: r.Concurrency}
	f.share.refresh(cfg.Memory)
	f.failures, f.retryAt = 0, 0
	for _, c := range f.ordered() {
		f.stop(c, Reason{Cause: CauseChanged}, fx)
	}
}

// newCall takes a call from the pool and enters it by its id.
func (f *function) newCall(r *Request) *call {
	k := f.spare
	if k == nil {
		k = new(call)
	} else {
		f.spare = k.next
		k.next = nil
	}
	f.seq++
	k.id, k.seq, k.arrived, k.waiter = r.ID, f.seq, f.now, r.Waiter
	k.due = f.waitEnd(r)
	f.calls[k.id] = k
	return k
}

// waitEnd is when a call that waits gives up: at its own deadline, or when its patience ends.
func (f *function) waitEnd(r *Request) time.Duration {
	end := f.now + f.core.opts.MaxWait
	if r.Deadline > 0 {
		end = r.Deadline
	}
	return end
}

// joinTwin lets a second Acquire of a waiting call share its place. It gets a ticket of its own.
func (f *function) joinTwin(first *call, r *Request) Ticket {
	f.seq++
	k := &call{id: r.ID, seq: f.seq, arrived: f.now, due: f.waitEnd(r), waiter: r.Waiter, twins: first.twins}
	first.twins = k
	first.due = max(first.due, k.due)
	return f.ticket(k)
}

// free ends a call and returns it to the pool.
func (f *function) free(k *call) {
	delete(f.calls, k.id)
	*k = call{next: f.spare}
	f.spare = k
}

func (f *function) ticket(k *call) Ticket { return Ticket{Fn: f.id, Seq: k.seq, call: k} }

func (f *function) lease(k *call) Lease {
	return Lease{Node: k.c.node.desc, ContainerID: k.c.wire, Container: k.c.id, Fn: f.id, Served: k.served, Wait: k.wait}
}

// grant leases a place in ct to k.
func (f *function) grant(k *call, ct *container) {
	f.withdraw(ct)
	if ct.leases == 0 {
		f.idle--
		ct.crowd = 0
		if ct.spare.Load() {
			ct.spare.Store(false)
		}
	}
	ct.meter(f.now)
	ct.leases++
	ct.note()
	ct.crowd = max(ct.crowd, ct.leases)
	k.c, k.from, k.wait = ct, f.now, f.now-k.arrived
	k.cprev, k.cnext = nil, ct.calls
	if ct.calls != nil {
		ct.calls.cprev = k
	}
	ct.calls = k
	f.enroll(ct)

	timeout := f.cfg.Timeout
	if timeout == 0 {
		timeout = baseTimeout
	}
	k.due = f.now + timeout + f.core.opts.Grace
	f.leases.push(k)
	f.dueBy(f.leases.head.due)
}

// meter adds up the request-time of a container before its number of leases changes.
func (c *container) meter(now time.Duration) {
	c.busy += (now - c.busyFrom) * time.Duration(c.leases)
	c.busyFrom = now
}

// serve grants waiting calls, oldest first, while there is room.
func (f *function) serve(fx *Effects) {
	for f.line.n > 0 {
		ct := f.pick()
		if ct == nil {
			return
		}
		k := f.line.head
		f.line.remove(k)
		f.tenant.waiting.Add(-1)
		k.served = Cold
		if ct.readyAt <= k.arrived {
			k.served = Waited
		}
		f.grant(k, ct)
		f.lastServed = f.now
		f.countWait(k)
		f.tellGranted(k, fx)
	}
}

func (f *function) countWait(k *call) {
	if k.wait > f.core.opts.Patience {
		f.noteLate(k)
	}
	if k.served == Cold {
		f.count.Cold++
	} else {
		f.count.Waited++
	}
	f.count.WaitSum += k.wait
	i := 0
	for i < len(waitBounds) && k.wait > waitBounds[i] {
		i++
	}
	f.count.Waits[i]++
}

func (f *function) tellGranted(k *call, fx *Effects) {
	lease := f.lease(k)
	shared := k.twins != nil
	fx.Grants = append(fx.Grants, Grant{Ticket: f.ticket(k), Waiter: k.waiter, Lease: lease, Shared: shared})
	for t := k.twins; t != nil; t = t.twins {
		fx.Grants = append(fx.Grants, Grant{Ticket: f.ticket(t), Waiter: t.waiter, Lease: lease, Shared: shared})
	}
	k.waiter, k.twins = nil, nil
}

// Cancel gives up a place in line. It is false when the place was granted or ended already: then the Grant is
// on its way, and a lease in it must be returned.
func (c *Core) Cancel(now time.Duration, t Ticket, fx *Effects) bool {
	f := c.fn(t.Fn)
	if f == nil || t.call == nil {
		return false
	}
	f.mu.Lock()
	f.clamp(now)
	ok := f.cancel(t, fx)
	if ok {
		f.balance(fx)
	}
	f.mu.Unlock()
	c.settle(now, fx)
	return ok
}

func (f *function) cancel(t Ticket, fx *Effects) bool {
	first := t.call
	if first.seq != t.Seq { // the pool gave it to another call, or it ended
		return false
	}
	if f.calls[first.id] != first {
		return f.cancelTwin(first)
	}
	if first.c != nil {
		return false
	}
	f.count.Cancelled++
	if heir := first.twins; heir != nil { // the place lives on
		heir.arrived = first.arrived
		f.line.swap(first, heir)
		f.calls[heir.id] = heir
		*first = call{next: f.spare}
		f.spare = first
		return true
	}
	f.leaveLine(first, fx)
	return true
}

// cancelTwin takes one of several Acquires with the same id out of the shared place.
func (f *function) cancelTwin(t *call) bool {
	for k := f.calls[t.id]; k != nil && k.c == nil; k = k.twins {
		if k.twins == t {
			k.twins = t.twins
			t.seq = 0
			return true
		}
	}
	return false
}

// leaveLine ends a wait without a lease.
func (f *function) leaveLine(k *call, fx *Effects) {
	f.line.remove(k)
	f.tenant.waiting.Add(-1)
	if f.now-k.arrived > f.core.opts.Patience {
		f.noteLate(k)
	}
	f.tell(Left, max(f.now-k.arrived, 1), fx)
	f.free(k)
}
