package model

import (
	"strconv"

	"github.com/forewarm/forewarm/cluster"
)

// systemShare is the part of a machine's unsold memory that its own system uses.
const systemShare = .5

// Stats reads a machine as it is now. Processor figures are means since the last reading. It answers at once, unlike
// the other operations: it calls nobody back.
// The error wraps cluster.ErrNodeLost.
func (c *Cluster) Stats(node string) (cluster.Stats, error) {
	m, err := c.machine(node)
	if err != nil {
		return cluster.Stats{}, err
	}
	m.settle()
	now := c.loop.now
	s := cluster.Stats{LiveID: m.id + "/" + strconv.Itoa(m.live), Owner: m.owner}
	used := int64(systemShare * float64(c.opts.Memory-c.opts.Sold))
	for _, b := range m.boxes {
		if !b.ready {
			continue
		}
		s.Containers = append(s.Containers, cluster.ContainerStats{
			ID: b.id, Memory: b.limit, UsedMemory: b.used, CPU: percent(b.cpu, (now - b.readAt).Seconds()),
		})
		b.readAt, b.cpu = now, 0
		used += b.used
	}
	s.Node = cluster.NodeStats{TotalMemory: c.opts.Memory, UsedMemory: used, CPU: percent(m.cpu, (now - m.readAt).Seconds())}
	m.readAt, m.cpu = now, 0
	return s, nil
}

func percent(cpu, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return 100 * cpu / seconds
}
