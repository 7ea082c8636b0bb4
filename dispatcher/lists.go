package dispatcher

import (
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// container is one container that exists, is starting or is being removed. Its function's mutex guards it,
// except node and memory, which never change.
type container struct {
	id     ContainerID
	fn     *function
	cfg    *cluster.Function
	node   *node
	memory int64 // bytes booked
	units  int32 // requests that it is sized for

	state    containerState
	spare    atomic.Bool // idle and, by the planner's last word, not wanted
	going    atomic.Bool // retiring, readable without the mutex
	retiring bool        // takes no more leases and goes when the last is returned
	why      Reason      // of its end
	name     string      // ours
	wire     string      // the node's
	order    uint64      // outstanding
	slot     int         // in Options.Leases, or noSlot

	covers    int   // requests that it adds to the function's covered
	leases    int   // live
	crowd     int   // most leases at once since it was last idle
	most      int   // most leases at once ever, to go with
	mark      int64 // the highest memory ever reported
	calls     *call
	bucket    int // list of the function's room that it is in; noRoom: none
	prev      *container
	next      *container
	orderedAt time.Duration
	readyAt   time.Duration
	idleSince time.Duration
	idleSeq   uint64 // newsSeq when it became idle

	// Request-time since the node's last reading of it, for the processor's share.
	busy     time.Duration
	busyFrom time.Duration
	readFrom time.Duration
}

type containerState uint8

const (
	starting containerState = iota
	ready
	stopping
	gone
)

const (
	noRoom   = -1
	lastRoom = maxSharing + 1 // bucket of containers on nodes that are being emptied: they come last
)

// containerList is an intrusive list, most recently used first.
type containerList struct {
	head, tail *container
	n          int
}

func (l *containerList) push(c *container) {
	c.prev, c.next = nil, l.head
	if l.head != nil {
		l.head.prev = c
	} else {
		l.tail = c
	}
	l.head = c
	l.n++
}

func (l *containerList) remove(c *container) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next = nil, nil
	l.n--
}

// call is a request from Acquire to its end: first perhaps in line, then leased.
type call struct {
	id      string
	seq     uint64 // ticket; 0 when free
	arrived time.Duration
	due     time.Duration // deadline of the wait, then end of the lease
	waiter  any
	late    bool  // waited longer than the patience, and was counted
	twins   *call // later Acquires with the same id, while it waits

	c      *container // nil while it waits
	crowd  int        // most that shared its container
	served Served
	wait   time.Duration
	from   time.Duration // start of the lease

	prev, next   *call // in line, or among the function's leases by due
	cprev, cnext *call // among the container's leases
}

type callList struct {
	head, tail *call
	n          int
}

func (l *callList) push(c *call) {
	c.prev, c.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = c
	} else {
		l.head = c
	}
	l.tail = c
	l.n++
}

func (l *callList) remove(c *call) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next = nil, nil
	l.n--
}

// swap puts b into the place of a.
func (l *callList) swap(a, b *call) {
	b.prev, b.next = a.prev, a.next
	if a.prev != nil {
		a.prev.next = b
	} else {
		l.head = b
	}
	if a.next != nil {
		a.next.prev = b
	} else {
		l.tail = b
	}
	a.prev, a.next = nil, nil
}
