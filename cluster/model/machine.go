package model

import (
	"container/heap"
	"math"
	"time"
)

const never = time.Duration(math.MaxInt64)

// machine is one node, reserved or not.
type machine struct {
	loop  *Loop
	id    string
	live  int // times that it was handed out
	held  bool
	dead  bool
	owner string
	vcpu  float64

	limits int64  // of its containers in all, bytes
	boxes  []*box // oldest first

	settled time.Duration // processor time is accounted for up to here
	wakeAt  time.Duration // entered in the loop; never: nothing is
	wake    func()
	readAt  time.Duration // last reading
	cpu     float64       // vCPU-seconds used since then

	demands, shares []float64 // scratch
	busy            []*box    // scratch: those in which calls compute
}

// box is a container.
type box struct {
	m      *machine
	id     string
	name   string
	limit  int64
	ready  bool
	broken bool
	gone   bool

	used, peak int64 // bytes now, and at most so far
	calls      []*call
	computing  callHeap
	served     float64 // vCPU-seconds that each call would have got that computes since the beginning
	rate       float64 // vCPU for each computing call

	readAt time.Duration
	cpu    float64 // vCPU-seconds since readAt
}

func newMachine(l *Loop, id string, vcpu float64) *machine {
	m := &machine{loop: l, id: id, vcpu: vcpu, wakeAt: never}
	m.wake = func() {
		if m.wakeAt == l.now { // else an earlier one took its place
			m.wakeAt = never
			m.settle()
		}
	}
	return m
}

// settle brings the machine up to the present: it accounts for the processor time since the last change, ends
// the computing that is done, divides the processor anew and enters the next end into the loop.
func (m *machine) settle() {
	m.account()
	for _, b := range m.boxes {
		for len(b.computing) > 0 && b.computing[0].tag-b.served <= b.rate*2e-9 { // events come on whole nanoseconds
			m.computed(heap.Pop(&b.computing).(*call))
		}
		if len(b.computing) == 0 {
			b.served = 0 // no tag refers to it: keep the sum small, and so exact
		}
	}
	m.divide()
}

func (m *machine) account() {
	dt := (m.loop.now - m.settled).Seconds()
	m.settled = m.loop.now
	if dt == 0 {
		return
	}
	for _, b := range m.boxes {
		if n := len(b.computing); n > 0 {
			b.served += b.rate * dt
			b.cpu += b.rate * dt * float64(n)
			m.cpu += b.rate * dt * float64(n)
		}
	}
}

// divide sets the rate of each container's calls and wakes the machine at the next end of computing.
func (m *machine) divide() {
	m.busy, m.demands = m.busy[:0], m.demands[:0]
	for _, b := range m.boxes {
		if n := len(b.computing); n > 0 {
			m.busy = append(m.busy, b)
			m.demands = append(m.demands, min(Quota(b.limit), float64(n)))
		}
	}
	for len(m.shares) < len(m.demands) {
		m.shares = append(m.shares, 0)
	}
	waterfill(m.vcpu, m.demands, m.shares[:len(m.demands)])
	next := never
	for i, b := range m.busy {
		b.rate = m.shares[i] / float64(len(b.computing))
		left := (b.computing[0].tag - b.served) / b.rate
		next = min(next, m.loop.now+time.Duration(math.Ceil(left*1e9)))
	}
	if next < m.wakeAt {
		m.wakeAt = next
		m.loop.At(next, m.wake)
	}
}

// compute begins the computing of a call that has waited.
func (m *machine) compute(c *call) {
	if c.ended {
		return
	}
	m.settle()
	c.tag = c.box.served + c.work.CPU.Seconds()
	heap.Push(&c.box.computing, c)
	m.divide()
}

func (m *machine) computed(c *call) {
	m.loop.After(c.work.After, func() { c.end(nil) })
}

// stop takes a call off the processor before its time.
func (c *call) stop() {
	if c.index >= 0 {
		m := c.box.m
		m.account()
		heap.Remove(&c.box.computing, c.index)
		m.settle()
	}
}

// end ends a call and answers it. The loop runs it.
func (c *call) end(err error) {
	if c.ended {
		return
	}
	c.leave()
	c.done(c.outcome(err))
}

// leave takes a call out of its container.
func (c *call) leave() {
	c.ended = true
	c.stop()
	b := c.box
	last := len(b.calls) - 1
	b.calls[c.place] = b.calls[last]
	b.calls[c.place].place = c.place
	b.calls[last] = nil
	b.calls = b.calls[:last]
	b.used -= c.work.Memory
}

func (c *call) outcome(err error) Outcome {
	return Outcome{Took: c.box.m.loop.now - c.from, MaxMemory: c.box.peak, Err: err}
}

// fail ends all calls of a container, oldest first; they are answered by the loop, not here.
func (b *box) fail(err error) {
	calls := append([]*call(nil), b.calls...)
	for _, c := range calls {
		c.leave()
		out := c.outcome(err)
		b.m.loop.At(b.m.loop.now, func() { c.done(out) })
	}
}
