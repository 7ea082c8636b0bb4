package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// Cluster is a manager and its machines. Every done function is called once, by the Loop, later than the
// operation itself.
type Cluster struct {
	loop *Loop
	opts Options
	rng  *rand.Rand

	free     []*machine // to be had, first come first served
	machines map[string]*machine
	boxes    map[string]*box
	owned    int // machines, counting those on their way
	held     int
	made     int
}

// New makes a Cluster driven by l. All that is left to chance is drawn from rng.
func New(l *Loop, opts Options, rng *rand.Rand) (*Cluster, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{loop: l, opts: opts, rng: rng, machines: map[string]*machine{}, boxes: map[string]*box{}}
	for range opts.Nodes {
		c.deliver()
	}
	c.owned = opts.Nodes
	return c, nil
}

// Held is how many machines are reserved, and how many containers exist on them.
func (c *Cluster) Held() (nodes, containers int) { return c.held, len(c.boxes) }

// deliver adds a new machine to those to be had.
func (c *Cluster) deliver() {
	m := newMachine(c.loop, fmt.Sprintf("node-%d", len(c.machines)+1), c.opts.VCPU)
	c.machines[m.id] = m
	c.free = append(c.free, m)
}

// Reserve asks for a machine. The error wraps cluster.ErrNoNode or ErrAway.
func (c *Cluster) Reserve(account string, done func(cluster.Node, error)) {
	out := c.opts.outage(c.loop.now)
	if len(c.free) == 0 || out != nil {
		err := fmt.Errorf("reserve: %w", cluster.ErrNoNode)
		if out != nil && out.Away {
			err = fmt.Errorf("reserve: %w", ErrAway)
		}
		c.loop.After(0, func() { done(cluster.Node{}, err) })
		return
	}
	m := c.free[0]
	c.free = slices.Delete(c.free, 0, 1)
	if c.owned < c.opts.Cap {
		c.owned++
		c.loop.After(c.opts.Refill(c.rng), c.deliver)
	}
	c.held++
	m.held, m.dead, m.owner, m.settled, m.readAt, m.cpu = true, false, account, c.loop.now, c.loop.now, 0
	m.live++
	desc := cluster.Node{ID: m.id, Address: m.id, Port: 1, Memory: c.opts.Sold}
	c.loop.After(c.opts.Reserve(c.rng), func() { done(desc, nil) })
	if c.opts.NodeDeaths > 0 {
		c.condemn(m)
	}
}

// condemn draws the end of a machine's life, which matters only if it is still held by the same owner then.
func (c *Cluster) condemn(m *machine) {
	live, life := m.live, c.rng.ExpFloat64()/c.opts.NodeDeaths
	c.loop.After(time.Duration(min(life, 1e5)*float64(time.Hour)), func() {
		if m.held && m.live == live {
			m.dead = true
			c.wipe(m, fmt.Errorf("%s: %w", m.id, cluster.ErrNodeLost))
		}
	})
}

// wipe removes all containers of a machine at once; their calls fail with err.
func (c *Cluster) wipe(m *machine, err error) {
	for _, b := range slices.Clone(m.boxes) {
		b.fail(err)
		c.drop(b)
	}
}

// Release gives a machine back, with whatever still runs on it. It may be dead. The error wraps ErrAway or
// cluster.ErrNotFound.
func (c *Cluster) Release(node string, done func(error)) {
	if out := c.opts.outage(c.loop.now); out != nil && out.Away {
		c.answer(done, fmt.Errorf("release %s: %w", node, ErrAway))
		return
	}
	m := c.machines[node]
	if m == nil || !m.held {
		c.answer(done, fmt.Errorf("release %s: %w", node, cluster.ErrNotFound))
		return
	}
	c.wipe(m, ErrRemoved)
	m.held = false
	c.held--
	took := c.opts.Remove(c.rng)
	c.loop.After(took, func() { done(nil) })
	c.loop.After(took+c.opts.Refill(c.rng), func() { c.free = append(c.free, m) })
}

func (c *Cluster) answer(done func(error), err error) { c.loop.After(0, func() { done(err) }) }

// machine finds a reserved machine that is alive.
func (c *Cluster) machine(node string) (*machine, error) {
	m := c.machines[node]
	if m == nil || !m.held || m.dead {
		return nil, fmt.Errorf("%s: %w", node, cluster.ErrNodeLost)
	}
	return m, nil
}

// Create starts a container whose process uses base bytes by itself, and answers with the machine's name for it
// when it is ready. Its memory is taken from now on. The error wraps ErrStartFailed or one of package cluster.
func (c *Cluster) Create(node string, spec cluster.Container, base int64, done func(id string, err error)) {
	m, err := c.machine(node)
	if err == nil && m.limits+spec.Memory > c.opts.Sold {
		err = fmt.Errorf("create %s on %s: %w: %d bytes are asked for, %d are left", spec.Name, node, cluster.ErrOutOfMemory,
			spec.Memory, c.opts.Sold-m.limits)
	}
	if err != nil {
		c.loop.After(0, func() { done("", err) })
		return
	}
	c.made++
	b := &box{m: m, id: fmt.Sprintf("%s-%d-%d", m.id, m.live, c.made), name: spec.Name, limit: spec.Memory}
	m.limits += b.limit
	m.boxes = append(m.boxes, b)
	c.boxes[b.id] = b
	fails := c.opts.StartFails > 0 && c.rng.Float64() < c.opts.StartFails
	takes := c.opts.Start(c.rng)
	if c.opts.StartHangs > 0 && c.rng.Float64() < c.opts.StartHangs {
		fails, takes = true, c.opts.GiveUp
	}
	c.loop.After(takes, func() { c.started(b, base, fails, done) })
}

func (c *Cluster) started(b *box, base int64, fails bool, done func(id string, err error)) {
	var err error
	switch {
	case b.gone && b.m.dead:
		err = fmt.Errorf("create %s: %w", b.name, cluster.ErrNodeLost)
	case b.gone:
		err = fmt.Errorf("create %s: %w", b.name, ErrRemoved)
	case fails:
		err = fmt.Errorf("create %s: %w", b.name, ErrStartFailed)
	case base > b.limit:
		err = fmt.Errorf("create %s: its process alone: %w", b.name, ErrStartFailed)
	}
	if err != nil {
		if !b.gone {
			c.drop(b)
		}
		done("", err)
		return
	}
	b.ready, b.used, b.peak, b.readAt = true, base, base, c.loop.now
	done(b.id, nil)
}

// drop forgets a container without calls.
func (c *Cluster) drop(b *box) {
	b.gone = true
	b.m.limits -= b.limit
	i := slices.Index(b.m.boxes, b)
	b.m.boxes = slices.Delete(b.m.boxes, i, i+1)
	delete(c.boxes, b.id)
}

// Remove ends a container and the calls in it. That it is not there, or its machine is not, is no failure.
func (c *Cluster) Remove(node, container string, done func(error)) {
	m, err := c.machine(node)
	if err != nil {
		c.answer(done, err)
		return
	}
	b := c.boxes[container]
	if b == nil || b.m != m {
		c.answer(done, nil)
		return
	}
	b.fail(ErrRemoved)
	b.ready = false
	c.loop.After(c.opts.Remove(c.rng), func() {
		if !b.gone {
			c.drop(b)
		}
		done(nil)
	})
}
