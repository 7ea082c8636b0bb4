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

// lostAfter is how many readings in a row may fail before a node counts as lost. The second and third follow soon
// after the first: whoever is gone stays silent, whoever is slow or was cut off for a moment answers one of them.
const lostAfter = 3

// againAfter is the pause between them.
const againAfter = 400 * time.Millisecond

// pollStats reads every node once a period. A node that does not answer, or that answers as another machine
// than before, is lost.
func (s *Shell) pollStats(ctx context.Context) {
	tick := time.NewTicker(s.opts.StatsEvery)
	defer tick.Stop()
	var suspicions sync.WaitGroup
	defer suspicions.Wait()
	suspected := suspects{of: map[dispatcher.NodeID]bool{}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ok, failed, used := 0, 0, int64(0)
		for _, r := range s.readAll(ctx) {
			switch {
			case ctx.Err() != nil:
				return
			case r.err == nil:
				ok++
				used += r.stats.Node.UsedMemory
				s.heard(ctx, &r)
			default:
				failed++
				if silent(r.err) && suspected.begin(r.node.ID) {
					suspicions.Go(func() {
						defer suspected.end(r.node.ID)
						s.suspect(ctx, &r)
					})
				}
			}
		}
		s.watch.Readings(ok, failed, used)
	}
}

// suspects are the nodes that are being asked again.
type suspects struct {
	mu sync.Mutex
	of map[dispatcher.NodeID]bool
}

func (s *suspects) begin(id dispatcher.NodeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[id] {
		return false
	}
	s.of[id] = true
	return true
}

func (s *suspects) end(id dispatcher.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, id)
}

// suspect asks a node that did not answer again, and gives it up when it stays silent.
func (s *Shell) suspect(ctx context.Context, r *reading) {
	err := r.err
	for range lostAfter - 1 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(againAfter):
		}
		ask, cancel := context.WithTimeout(ctx, max(s.opts.StatsEvery, 200*time.Millisecond))
		_, err = s.opts.Driver.Stats(ask, &r.node.Node)
		cancel()
		if err == nil || !silent(err) || ctx.Err() != nil {
			return
		}
	}
	s.lose(r.node.ID, r.node.Node.ID, err)
}

// heard takes in what a node says of itself.
func (s *Shell) heard(ctx context.Context, r *reading) {
	if !s.sameMachine(r) {
		return
	}
	s.do(func(now time.Duration, fx *dispatcher.Effects) { _ = s.core.NodeStats(now, r.node.ID, r.stats, fx) }) // it may be gone by now
	s.removeLateStrays(ctx, r)
}

// sameMachine says whether a node answers as the machine that was reserved, and notes its live id.
func (s *Shell) sameMachine(r *reading) bool {
	live := r.stats.LiveID
	s.nodesMu.Lock()
	n, held := s.nodes[r.node.Node.ID]
	s.nodesMu.Unlock()
	switch {
	case live == "" || !held:
	case n.LiveID == "":
		n.LiveID = live
		s.keepNode(n)
	case n.LiveID != live:
		s.lose(r.node.ID, n.Node.ID, fmt.Errorf("it answers as another machine: live id %q, before %q", live, n.LiveID))
		return false
	}
	return true
}

// strayTime is how long after a restart nodes are searched for containers whose start an earlier run had ordered and
// not seen answered: they may come up late.
const strayTime = time.Minute

// removeLateStrays removes containers that nobody knows and that two readings in a row list, while none is starting.
func (s *Shell) removeLateStrays(ctx context.Context, r *reading) {
	if until := s.strayUntil.Load(); until == 0 || int64(s.Now()) > until || s.startsOn(r.node.Node.ID) > 0 {
		return
	}
	for _, c := range r.stats.Containers {
		if s.core.Knows(c.ID) {
			delete(s.strays, c.ID)
			continue
		}
		if s.strays[c.ID]++; s.strays[c.ID] > 1 {
			delete(s.strays, c.ID)
			s.removeStray(ctx, &r.node.Node, c.ID, s.opts.OrderTimeout)
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
