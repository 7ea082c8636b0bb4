package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// lostAfter is how many readings in a row may fail before a node counts as lost.
const lostAfter = 3

// pollStats reads every node once a period. A node that does not answer, or that answers as another machine
// than before, is lost.
func (s *Shell) pollStats(ctx context.Context) {
	failed := map[dispatcher.NodeID]int{}
	lives := map[dispatcher.NodeID]string{}
	tick := time.NewTicker(s.opts.StatsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, r := range s.readAll(ctx) {
			id := r.node.ID
			switch {
			case ctx.Err() != nil:
				return
			case r.err != nil && !silent(r.err):
				failed[id] = 0 // it lives, whatever it said
			case r.err != nil:
				if failed[id]++; failed[id] == lostAfter {
					s.lose(id, r.node.Node.ID, r.err)
				}
			case r.stats.LiveID != "" && lives[id] != "" && r.stats.LiveID != lives[id]:
				s.lose(id, r.node.Node.ID, fmt.Errorf("it answers as another machine: live id %q, before %q", r.stats.LiveID, lives[id]))
			default:
				failed[id], lives[id] = 0, r.stats.LiveID
				s.do(func(now time.Duration, fx *dispatcher.Effects) { _ = s.core.NodeStats(now, id, r.stats, fx) }) // it may be gone by now
			}
		}
	}
}

// silent tells a node that does not answer from one that answers with an error, or with what cannot be true.
func silent(err error) bool {
	return errors.Is(err, cluster.ErrNodeLost) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// lose takes a node off the books; it may be gone already.
func (s *Shell) lose(id dispatcher.NodeID, name string, why error) {
	s.log.Warn("node lost", "node", name, "error", why)
	s.do(func(now time.Duration, fx *dispatcher.Effects) { _ = s.core.NodeLost(now, id, fx) })
}

type reading struct {
	node  dispatcher.NodeInfo
	stats cluster.Stats
	err   error
}

// readAll reads all nodes at once, each within a period.
func (s *Shell) readAll(ctx context.Context) []reading {
	var rs []reading
	for _, n := range s.core.Cluster(s.Now()).Nodes {
		if !n.Lost && !n.Releasing {
			rs = append(rs, reading{node: n})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, max(s.opts.StatsEvery, 200*time.Millisecond))
	defer cancel()
	var wg sync.WaitGroup
	for i := range rs {
		wg.Go(func() { rs[i].stats, rs[i].err = s.opts.Driver.Stats(ctx, &rs[i].node.Node) })
	}
	wg.Wait()
	return rs
}

// requestID names an order to the manager, unlike any of another run.
func requestID(what string, order uint64) string {
	return fmt.Sprintf("%s-%s-%d", what, runID, order)
}

// runID tells runs on one machine apart. Nothing is decided by it.
var runID = strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.Itoa(os.Getpid())
