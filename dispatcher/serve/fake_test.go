package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// fakeCluster is a manager and its nodes in memory. It keeps its own books, so that what a shell leaves behind, or
// asks for against the rules, shows.
type fakeCluster struct {
	cap                   int
	memory                int64
	reserveTakes, startIn time.Duration

	mu       sync.Mutex
	nodes    map[string]*fakeNode // held; guarded by mu, as what follows
	last     int
	away     chan struct{} // not nil: the manager is away until it is closed
	refused  int           // reservations that are still to be refused
	failing  int           // starts that are still to fail
	attempts []time.Time   // of starts
	asked    []time.Time   // of reservations
	detached bool          // orders go on when their caller is gone, as with our own manager and nodes
	lists    bool          // nodes tell their containers
	requests map[string]*cluster.Node
	removed  func(id string) // told of every removal; may be nil
	peak     int
	problems []error
}

type fakeNode struct {
	id         string
	booked     int64
	containers map[string]int64
	live       string
	deaf       bool
	deafFor    int                      // calls that go unanswered
	dumb       bool                     // its readings are errors
	slow       time.Duration            // that its answers take
	names      map[string]chan struct{} // closed when the container of that name is there, or is not
}

func newFake() *fakeCluster {
	return &fakeCluster{cap: 20, memory: 3 * cluster.GiB, reserveTakes: 50 * time.Millisecond, startIn: 500 * time.Millisecond, nodes: map[string]*fakeNode{}, requests: map[string]*cluster.Node{}}
}

func (c *fakeCluster) problem(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	c.problems = append(c.problems, err)
	return err
}

// pause takes a while, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// present waits for a manager that is away.
func (c *fakeCluster) present(ctx context.Context) error {
	c.mu.Lock()
	away := c.away
	c.mu.Unlock()
	if away == nil {
		return nil
	}
	select {
	case <-away:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// carry does what was asked for, whether or not the caller waits for it, where that is how the cluster is.
func carry[T any](ctx context.Context, c *fakeCluster, f func(context.Context) (T, error)) (got T, err error) {
	if !c.detached {
		return f(ctx)
	}
	type answer struct {
		got T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		got, err := f(context.WithoutCancel(ctx))
		done <- answer{got, err}
	}()
	select {
	case a := <-done:
		if ctx.Err() == nil {
			return a.got, a.err
		}
	case <-ctx.Done():
	}
	return got, ctx.Err()
}

func (c *fakeCluster) ReserveNode(ctx context.Context, request, account string) (cluster.Node, error) {
	c.change(func() { c.asked = append(c.asked, time.Now()) })
	if err := c.present(ctx); err != nil {
		return cluster.Node{}, err
	}
	return carry(ctx, c, func(ctx context.Context) (cluster.Node, error) {
		if err := pause(ctx, c.reserveTakes); err != nil {
			return cluster.Node{}, err
		}
		return c.lend(request, account)
	})
}

func (c *fakeCluster) lend(request, account string) (cluster.Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.requests[request]; n != nil && c.nodes[n.ID] != nil {
		return *n, nil
	}
	if c.refused > 0 {
		c.refused--
		return cluster.Node{}, fmt.Errorf("fake: %w", cluster.ErrNoNode)
	}
	if len(c.nodes) >= c.cap {
		return cluster.Node{}, c.problem("a node beyond the cap of %d was asked for by %q", c.cap, account)
	}
	c.last++
	n := &fakeNode{id: fmt.Sprintf("node-%d", c.last), containers: map[string]int64{}, live: fmt.Sprintf("live-%d", c.last), names: map[string]chan struct{}{}}
	c.nodes[n.id] = n
	c.peak = max(c.peak, len(c.nodes))
	c.requests[request] = &cluster.Node{ID: n.id, Address: "10.0.0.1", Port: int64(1000 + c.last), Memory: c.memory}
	return *c.requests[request], nil
}

// Nodes lists what is lent, as our own manager does.
func (c *fakeCluster) Nodes(context.Context) (nodes []cluster.Node, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.requests {
		if c.nodes[n.ID] != nil {
			nodes = append(nodes, *n)
		}
	}
	return nodes, nil
}

func (c *fakeCluster) ReleaseNode(ctx context.Context, _ string, n *cluster.Node) error {
	if err := c.present(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes[n.ID] == nil {
		return fmt.Errorf("fake: release of %s: %w", n.ID, cluster.ErrNodeLost)
	}
	delete(c.nodes, n.ID)
	return nil
}

// reach finds a node that answers. c.mu is held.
func (c *fakeCluster) reach(id string) (*fakeNode, error) {
	n := c.nodes[id]
	if n != nil && n.deafFor > 0 {
		n.deafFor--
		return nil, fmt.Errorf("fake: %s does not answer for now: %w", id, cluster.ErrNodeLost)
	}
	if n == nil || n.deaf {
		return nil, fmt.Errorf("fake: %s does not answer: %w", id, cluster.ErrNodeLost)
	}
	return n, nil
}

func (c *fakeCluster) CreateContainer(ctx context.Context, _ string, n *cluster.Node, f *cluster.Function, spec cluster.Container) (string, error) {
	return carry(ctx, c, func(ctx context.Context) (string, error) { return c.create(ctx, n, f, spec) })
}

// create starts a container, unless there is one of that name.
func (c *fakeCluster) create(ctx context.Context, n *cluster.Node, f *cluster.Function, spec cluster.Container) (string, error) {
	id := "id-of-" + spec.Name
	c.mu.Lock()
	node, takes := c.nodes[n.ID], c.startIn
	var there chan struct{}
	if node != nil {
		there = node.names[spec.Name]
	}
	c.mu.Unlock()
	if there != nil {
		<-there
		return id, nil
	}
	if err := c.book(n.ID, f, spec); err != nil {
		return "", err
	}
	err := pause(ctx, takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(node.names[spec.Name])
	_, lost := c.reach(n.ID)
	switch {
	case lost != nil:
		return "", lost
	case err == nil && c.failing > 0:
		c.failing--
		err = errors.New("fake: the program does not start")
	}
	if err != nil {
		delete(node.names, spec.Name)
		node.booked -= spec.Memory
		return "", err
	}
	node.containers[id] = spec.Memory
	return id, nil
}

func (c *fakeCluster) book(id string, f *cluster.Function, spec cluster.Container) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts = append(c.attempts, time.Now())
	n, err := c.reach(id)
	if err != nil {
		return err
	}
	if n.booked+spec.Memory > c.memory && c.detached { // by a start that an earlier run ordered
		return fmt.Errorf("fake: %s is full: %w", id, cluster.ErrOutOfMemory)
	}
	if n.booked+spec.Memory > c.memory {
		return c.problem("%s: %d bytes for %s on top of %d", id, spec.Memory, f.Name, n.booked)
	}
	n.booked += spec.Memory
	n.names[spec.Name] = make(chan struct{})
	return nil
}

func (c *fakeCluster) RemoveContainer(_ context.Context, _ string, n *cluster.Node, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	node, err := c.reach(n.ID)
	if err != nil {
		return err
	}
	memory, ok := node.containers[id]
	if !ok {
		return fmt.Errorf("fake: %s on %s: %w", id, n.ID, cluster.ErrNotFound)
	}
	delete(node.containers, id)
	delete(node.names, strings.TrimPrefix(id, "id-of-"))
	node.booked -= memory
	if c.removed != nil {
		c.removed(id)
	}
	return nil
}

func (c *fakeCluster) Stats(ctx context.Context, n *cluster.Node) (cluster.Stats, error) {
	var slow time.Duration
	c.change(func() {
		if node := c.nodes[n.ID]; node != nil {
			slow = node.slow
		}
	})
	if err := pause(ctx, slow); slow > 0 && err != nil {
		return cluster.Stats{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	node, err := c.reach(n.ID)
	if err != nil {
		return cluster.Stats{}, err
	}
	if node.dumb {
		return cluster.Stats{}, errors.New("fake: this node answers, and gives no readings")
	}
	stats := cluster.Stats{LiveID: node.live, Owner: "acc"}
	for id, memory := range node.containers {
		if c.lists {
			stats.Containers = append(stats.Containers, cluster.ContainerStats{ID: id, Memory: memory})
		}
	}
	return stats, nil
}

// change changes the cluster under its lock.
func (c *fakeCluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// only is the one node that is held.
func (c *fakeCluster) only(t *testing.T) *fakeNode {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.nodes) != 1 {
		t.Fatalf("%d nodes are held, want 1", len(c.nodes))
	}
	for _, n := range c.nodes {
		return n
	}
	return nil
}

// held is how many nodes are lent.
func (c *fakeCluster) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.nodes)
}

// anyNode is any node; c.mu is held.
func (c *fakeCluster) anyNode() *fakeNode {
	for _, n := range c.nodes {
		return n
	}
	return nil
}

// verify says what was left behind or done against the rules.
func (c *fakeCluster) verify(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range c.nodes {
		t.Errorf("%s is still held, with %d containers, want it released", id, len(n.containers))
	}
	if len(c.problems) > 0 {
		t.Errorf("%d breaches of the rules, the first: %v", len(c.problems), c.problems[0])
	}
}

// bubble runs a shell in front of a fake cluster, on fake time, and shuts it down in the end: nothing may be left.
func bubble(t *testing.T, o Options, test func(t *testing.T, s *Shell, c *fakeCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newFake()
		o.Driver = c
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		test(t, s, c)
		limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		if err := s.Shutdown(limit); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		c.verify(t)
	})
}

func request(id, function string) dispatcher.Request {
	return dispatcher.Request{ID: id, Function: cluster.Function{Account: "acc", Name: function, Memory: 256 * cluster.MiB}}
}

func returned(id string, l dispatcher.Lease) dispatcher.Returned {
	return dispatcher.Returned{RequestID: id, ContainerID: l.ContainerID}
}

// mustAcquire is an Acquire that must succeed.
func mustAcquire(t *testing.T, s *Shell, id, function string) dispatcher.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), request(id, function))
	if err != nil {
		t.Fatalf("Acquire(%s, %s) = %v", id, function, err)
	}
	return l
}

func mustReturn(t *testing.T, s *Shell, id string, l dispatcher.Lease) {
	t.Helper()
	if err := s.Return(returned(id, l)); err != nil {
		t.Fatalf("Return(%s, %s) = %v", id, l.ContainerID, err)
	}
}

// totals adds up the calls of all functions.
func totals(s *Shell) (leased, waiting int) {
	s.Core().Functions(s.Now(), func(i *dispatcher.FunctionInfo) bool {
		leased, waiting = leased+i.Leased, waiting+i.Waiting
		return true
	})
	return leased, waiting
}
