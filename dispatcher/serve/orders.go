package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/store"
)

// carryOut does what an order says, when it is time, and reports the result to the core.
func (s *Shell) carryOut(o dispatcher.Order) {
	if !s.waitUntil(o.NotBefore) {
		return
	}
	ctx, cancel := context.WithTimeout(s.base, s.opts.OrderTimeout)
	defer cancel()
	switch o.Kind {
	case dispatcher.StartContainer:
		s.startContainer(ctx, o)
	case dispatcher.StopContainer:
		s.stopContainer(ctx, o)
	case dispatcher.ReserveNode:
		s.reserveNode(ctx, o)
	case dispatcher.ReleaseNode:
		s.releaseNode(ctx, o)
	}
}

func (s *Shell) waitUntil(at time.Duration) bool {
	wait := at - s.Now()
	if at == 0 || wait <= 0 {
		return s.base.Err() == nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.base.Done():
		return false
	}
}

func (s *Shell) startContainer(ctx context.Context, o dispatcher.Order) {
	began := time.Now()
	record := store.ContainerRecord{Name: o.Spec.Name, Node: o.Node.ID, Function: *o.Function, Concurrency: o.Concurrency,
		Units: o.Why.Units, Memory: o.Spec.Memory, Slot: o.Slot}
	s.keepContainer(record)
	defer s.startingOn(o.Node.ID)()
	id, err := s.opts.Driver.CreateContainer(ctx, o.Spec.Name, o.Node, o.Function, o.Spec)
	if s.base.Err() != nil {
		return
	}
	s.watch.Order(o.Kind, time.Since(began), err)
	if err != nil {
		s.dropContainer(o.Node.ID, o.Spec.Name)
		s.quiet.warn(s.log, "start "+o.Function.Name, "container did not start", "function", o.Function.Name, "node", o.Node.ID, "error", err)
		f := failure(err)
		f.NodeLost = errors.Is(err, cluster.ErrNodeLost) && !s.alive(o.Node)
		f.Fatal = errors.Is(err, cluster.ErrNotFound) // the node knows no such function
		s.do(func(now time.Duration, fx *dispatcher.Effects) { s.told(s.core.StartFailed(now, o.ID, f, fx)) })
		return
	}
	record.ID = id
	s.keepContainer(record)
	s.log.Info("container started", "function", o.Function.Name, "container", id, "node", o.Node.ID, "took", time.Since(began).Round(time.Millisecond))
	s.do(func(now time.Duration, fx *dispatcher.Effects) { s.told(s.core.Started(now, o.ID, id, fx)) })
}

func (s *Shell) stopContainer(ctx context.Context, o dispatcher.Order) {
	began := time.Now()
	s.leaveContainer(o.Node.ID, o.Spec.Name)
	err := s.opts.Driver.RemoveContainer(ctx, o.Spec.Name, o.Node, o.ContainerID)
	if s.base.Err() != nil {
		return
	}
	s.watch.Order(o.Kind, time.Since(began), err)
	if err != nil && !errors.Is(err, cluster.ErrNotFound) {
		s.quiet.warn(s.log, "stop "+o.Node.ID, "container could not be removed", "function", o.Function.Name, "container", o.ContainerID, "node", o.Node.ID, "error", err)
		f := failure(err)
		f.NodeLost = errors.Is(err, cluster.ErrNodeLost) && !s.alive(o.Node)
		s.do(func(now time.Duration, fx *dispatcher.Effects) { s.told(s.core.StopFailed(now, o.ID, f, fx)) })
		return
	}
	s.dropContainer(o.Node.ID, o.Spec.Name)
	s.log.Info("container removed", "function", o.Function.Name, "container", o.ContainerID, "node", o.Node.ID)
	s.do(func(now time.Duration, fx *dispatcher.Effects) { s.told(s.core.Stopped(now, o.ID, fx)) })
}

// startingOn counts a start that is under way on a node, until the returned function is called.
func (s *Shell) startingOn(node string) (done func()) {
	add := func(n int) {
		s.nodesMu.Lock()
		defer s.nodesMu.Unlock()
		if s.starts[node] += n; s.starts[node] == 0 {
			delete(s.starts, node)
		}
	}
	add(1)
	return func() { add(-1) }
}

func (s *Shell) startsOn(node string) int {
	s.nodesMu.Lock()
	defer s.nodesMu.Unlock()
	return s.starts[node]
}

// slowManager is after how long it is said that the manager does not answer.
const slowManager = 3 * time.Second

func (s *Shell) reserveNode(ctx context.Context, o dispatcher.Order) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.asking, cancel)()
	defer time.AfterFunc(slowManager, func() {
		s.quiet.warn(s.log, "silence", "the resource manager has not answered a reservation yet; check that it runs and that its address is right", "for", slowManager)
	}).Stop()
	began := time.Now()
	record := store.NodeRecord{Request: requestID("reserve", o.ID), Account: o.Account}
	if err := s.journal.PutNode(record); err != nil { // a call that waits matters more than what a crash would lose
		s.quiet.warn(s.log, "state", "a reservation leaves before it is written down", "error", err)
	}
	n, err := s.opts.Driver.ReserveNode(ctx, record.Request, o.Account)
	if s.base.Err() != nil {
		if err == nil {
			s.giveBack(n)
		}
		return
	}
	s.watch.Order(o.Kind, time.Since(began), err)
	if err != nil {
		s.journal.DropNode(record.Request)
		s.quiet.warn(s.log, "reserve", "no node could be reserved; it is tried again", "error", err)
		s.do(func(now time.Duration, fx *dispatcher.Effects) {
			s.told(s.core.ReserveFailed(now, o.ID, failure(err), fx))
		})
		return
	}
	record.Node = n
	s.keepNode(record)
	s.do(func(now time.Duration, fx *dispatcher.Effects) { err = s.core.NodeReady(now, o.ID, n, fx) })
	if err != nil {
		s.log.Error("node refused", "node", n.ID, "error", err)
		if !s.holds(n.ID) {
			s.giveBack(n)
			s.dropNode(n.ID)
		}
		return
	}
	s.log.Info("node reserved", "node", n.ID, "address", n.Address, "port", n.Port, "memory", n.Memory)
}

// holds says whether a node of this name is on the books.
func (s *Shell) holds(id string) bool {
	for _, n := range s.core.Cluster(s.Now()).Nodes {
		if n.Node.ID == id {
			return true
		}
	}
	return false
}

// releaseRest releases nodes that are held when the time is up: nobody would do it later, and they go on costing.
func (s *Shell) releaseRest() error {
	nodes := s.core.Cluster(s.Now()).Nodes
	errs := make([]error, len(nodes))
	ctx, cancel := context.WithTimeout(context.Background(), lastAnswer)
	defer cancel()
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			if err := s.opts.Driver.ReleaseNode(ctx, "rest-"+n.Node.ID, &n.Node); !errors.Is(err, cluster.ErrNodeLost) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("serve: of %d nodes that were still in use at the end some could not be released: %w", len(nodes), err)
	}
	return fmt.Errorf("serve: %d nodes were still in use at the end and were released", len(nodes))
}

// giveBack releases a node that never made it into the books.
func (s *Shell) giveBack(n cluster.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.opts.Driver.ReleaseNode(ctx, "unused-"+n.ID, &n); err != nil {
		s.log.Error("a node that is not used could not be released", "node", n.ID, "error", err)
	}
}

func (s *Shell) releaseNode(ctx context.Context, o dispatcher.Order) {
	began := time.Now()
	s.leaveNode(o.Node.ID)
	err := s.opts.Driver.ReleaseNode(ctx, requestID("release", o.ID), o.Node)
	if s.base.Err() != nil {
		return
	}
	s.watch.Order(o.Kind, time.Since(began), err)
	if err != nil && !errors.Is(err, cluster.ErrNodeLost) { // a node that the manager does not know needs no release
		s.quiet.warn(s.log, "release", "node could not be released; it is tried again", "node", o.Node.ID, "error", err)
		s.do(func(now time.Duration, fx *dispatcher.Effects) {
			s.told(s.core.ReleaseFailed(now, o.ID, failure(err), fx))
		})
		return
	}
	s.dropNode(o.Node.ID)
	s.log.Info("node released", "node", o.Node.ID)
	s.do(func(now time.Duration, fx *dispatcher.Effects) { s.told(s.core.Released(now, o.ID, fx)) })
}

// told logs what should be impossible: a result that the core does not expect.
func (s *Shell) told(err error) {
	if err != nil {
		s.log.Error("unexpected result of an order", "error", err)
	}
}

func failure(err error) dispatcher.Failure {
	return dispatcher.Failure{Err: err.Error(), NoNode: errors.Is(err, cluster.ErrNoNode), Memory: errors.Is(err, cluster.ErrOutOfMemory)}
}

// alive asks a node once more, so that one broken connection does not cost a node.
func (s *Shell) alive(n *cluster.Node) bool {
	ctx, cancel := context.WithTimeout(s.base, 500*time.Millisecond)
	defer cancel()
	_, err := s.opts.Driver.Stats(ctx, n)
	return err == nil
}

// quieter lets one warning of a kind through every few seconds.
type quieter struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const warnEvery = 5 * time.Second

func (q *quieter) warn(log *slog.Logger, kind, msg string, args ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil || len(q.last) > 10_000 {
		q.last = map[string]time.Time{}
	}
	if time.Since(q.last[kind]) < warnEvery {
		return
	}
	q.last[kind] = time.Now()
	log.Warn(msg, args...)
}
