package model

import (
	"fmt"

	"github.com/forewarm/forewarm/cluster"
)

// Run begins a call in a container. A call that meets no ready container fails at once.
func (c *Cluster) Run(node, container string, w Work, done func(Outcome)) {
	m, err := c.machine(node)
	var b *box
	if err == nil {
		if b = c.boxes[container]; b == nil || b.m != m || !b.ready || b.broken {
			err = fmt.Errorf("call of %s on %s: %w", container, node, cluster.ErrNotFound)
		}
	}
	if err != nil {
		c.loop.After(0, func() { done(Outcome{Err: err}) })
		return
	}
	k := &call{box: b, work: w, from: c.loop.now, done: done, place: len(b.calls), index: -1}
	b.calls = append(b.calls, k)
	b.used += w.Memory
	if b.used > b.limit {
		b.peak, b.broken = b.limit, true
		b.fail(fmt.Errorf("call of %s: %w", container, cluster.ErrOutOfMemory))
		return
	}
	b.peak = max(b.peak, b.used)
	c.begin(k)
}

func (c *Cluster) begin(k *call) {
	w := &k.work
	switch {
	case w.CPU == 0:
		c.loop.After(w.Before+w.After, func() { k.end(nil) })
	case w.Before == 0:
		k.box.m.compute(k)
	default:
		c.loop.After(w.Before, func() { k.box.m.compute(k) })
	}
	if w.Timeout > 0 {
		c.loop.After(w.Timeout, func() { k.end(ErrTimeout) })
	}
}
