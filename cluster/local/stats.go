package local

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	pb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// statsGap is the least time over which a processor's use is averaged.
const statsGap = 200 * time.Millisecond

// stats measures the node and the containers that run. Percentages are of one
// processor, since the call before, and those of a container's first call are 0.
func (n *node) stats(now time.Time) *pb.GetStatsReply {
	n.measuring.Lock()
	defer n.measuring.Unlock()
	n.mu.Lock() // calls need it, so not while we measure
	all, owner, cpu := n.runningLocked(), n.owner, n.spent+ownCPU()
	n.mu.Unlock()
	used, _ := memoryOf(os.Getpid())
	reply := &pb.GetStatsReply{LiveId: n.spec.LiveID, OwnerAccountId: owner}
	for _, c := range all {
		memory, spent := c.fence.use()
		c.meter.read(now, spent, statsGap)
		used += memory
		cpu += spent
		reply.ContainerStatsList = append(reply.ContainerStatsList, &pb.ContainerStats{
			ContainerId:        c.id,
			TotalMemoryInBytes: c.memory,
			MemoryUsageInBytes: memory,
			CpuUsagePct:        c.meter.percent,
		})
	}
	n.meter.read(now, cpu, statsGap)
	reply.NodeStats = &pb.NodeStats{
		TotalMemoryInBytes:     n.spec.Memory,
		MemoryUsageInBytes:     used,
		AvailableMemoryInBytes: max(0, n.spec.Memory-used),
		CpuUsagePct:            n.meter.percent,
	}
	n.disk(reply.NodeStats)
	return reply
}

// disk measures the one that holds the working folders.
func (n *node) disk(s *pb.NodeStats) {
	var fs unix.Statfs_t
	if unix.Statfs(n.spec.Workdir, &fs) != nil {
		return
	}
	s.DiskTotalInBytes = int64(fs.Blocks) * fs.Bsize
	s.DiskAvailInBytes = int64(fs.Bavail) * fs.Bsize
	s.DiskTotalInodes = int64(fs.Files)
	s.DiskFreeInodes = int64(fs.Ffree)
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
