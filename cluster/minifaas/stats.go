package minifaas

import (
	"context"
	"fmt"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// Stats asks a node what it measured of itself and of its containers. A node that lists no containers gives a nil
// list, which proves nothing: some never list any.
func (d *Driver) Stats(ctx context.Context, n *cluster.Node) (cluster.Stats, error) {
	what := call{op: "get", subject: "statistics", at: at(n), kind: stats}
	var reply *nodeservoceproto.GetStatsReply
	err := d.onNode(ctx, n, what, func(ctx context.Context, node nodeservoceproto.NodeServiceClient) (err error) {
		reply, err = node.GetStats(ctx, &nodeservoceproto.GetStatsRequest{})
		return err
	})
	if err != nil {
		return cluster.Stats{}, err
	}
	s := cluster.Stats{
		Node: cluster.NodeStats{
			TotalMemory: reply.GetNodeStats().GetTotalMemoryInBytes(),
			UsedMemory:  reply.GetNodeStats().GetMemoryUsageInBytes(),
			CPU:         reply.GetNodeStats().GetCpuUsagePct(),
		},
		LiveID: reply.GetLiveId(),
		Owner:  reply.GetOwnerAccountId(),
	}
	for _, c := range reply.GetContainerStatsList() {
		s.Containers = append(s.Containers, cluster.ContainerStats{
			ID:         c.GetContainerId(),
			Memory:     c.GetTotalMemoryInBytes(),
			UsedMemory: c.GetMemoryUsageInBytes(),
			CPU:        c.GetCpuUsagePct(),
		})
	}
	if err := checkStats(&s); err != nil {
		return cluster.Stats{}, what.fail(err)
	}
	return s, nil
}

// checkStats refuses a reading as a whole when a part of it cannot be true: booked memory is revised by it.
func checkStats(s *cluster.Stats) error {
	if !plausible(s.Node.TotalMemory, s.Node.UsedMemory, s.Node.CPU) {
		return fmt.Errorf("the reply is useless: the node says it uses %d of %d bytes and %v %% of a processor",
			s.Node.UsedMemory, s.Node.TotalMemory, s.Node.CPU)
	}
	for _, c := range s.Containers {
		if c.ID == "" {
			return fmt.Errorf("the reply is useless: it lists a container without an id")
		}
		if !plausible(c.Memory, c.UsedMemory, c.CPU) {
			return fmt.Errorf("the reply is useless: container %q is said to use %d of %d bytes and %v %% of a processor",
				c.ID, c.UsedMemory, c.Memory, c.CPU)
		}
	}
	return nil
}

// plausible holds for what a machine could measure. Use above the limit is: limits are not kept everywhere.
func plausible(total, used int64, cpu float64) bool {
	const maxCPU = 1e5                                                                                     // percent of one processor: a thousand of them
	return 0 <= total && total <= maxMemory && 0 <= used && used <= maxMemory && 0 <= cpu && cpu <= maxCPU // false for NaN
}
