package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster"
)

// Errors of a node; server.go gives them their codes.
var (
	errUnknown  = errors.New("unknown")
	errFull     = errors.New("the node is full")
	errConflict = errors.New("the name is taken")
	errClosing  = errors.New("the node is ending")
	errGone     = errors.New("takes no calls any more")
)

// keepDead is how many containers that ended by themselves are remembered, so
// that a late caller learns why.
const keepDead = 1000

// portTries is how often a container is started on another port. Once is rare.
const portTries = 4

// node makes, keeps and ends containers.
type node struct {
	spec      nodeSpec
	log       *slog.Logger
	functions map[string]catalog.Function // guarded by mu
	limits    *limits
	ports     *ports
	users     *users // nil if containers have none of their own
	logs      *logbook
	starts    chan struct{} // a place for each container that may compute while it starts
	ctx       context.Context
	cancel    context.CancelCauseFunc
	busy      sync.WaitGroup // starts, and watches of containers

	mu      sync.Mutex // guards what follows
	owner   string
	closing bool
	told    os.FileInfo       // the manager's list of functions that was read last; nil: none yet
	seq     int               // of working folders
	booked  int64             // bytes, of containers that run or start
	names   map[string]*birth // of those
	ids     map[string]*container
	dead    []string      // ids of those that ended by themselves, oldest first
	spent   time.Duration // processor time of ended containers

	measuring sync.Mutex // guards all meters
	meter     meter
}

// birth is a container that starts or runs. Its fields are set before done is closed.
type birth struct {
	function string
	memory   int64
	done     chan struct{}
	c        *container
	err      error
}

func newNode(spec nodeSpec, containers *users, log *slog.Logger) *node {
	n := &node{
		spec: spec, log: log,
		functions: map[string]catalog.Function{},
		ports:     newPorts(),
		users:     containers,
		logs:      newLogbook(spec.LogBytes, spec.LogEnded),
		starts:    make(chan struct{}, spec.Starts),
		names:     map[string]*birth{},
		ids:       map[string]*container{},
	}
	n.ctx, n.cancel = context.WithCancelCause(context.Background())
	for _, f := range spec.Functions {
		n.functions[f.Name] = f
	}
	var err error
	if n.limits, err = newLimits(spec); err != nil {
		log.Warn("limits of memory and CPU are not enforced here", "cause", err)
	}
	return n
}

// create gives the container of that name, starting it if there is none. A start
// goes on when the caller goes away: it will ask again by name, or remove it.
func (n *node) create(ctx context.Context, name, function string, memory int64) (*container, error) {
	b, err := n.conceive(name, function, memory)
	if err != nil {
		return nil, err
	}
	select {
	case <-b.done:
		return b.c, b.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *node) conceive(name, function string, memory int64) (*birth, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b, ok := n.names[name]; ok {
		if b.function != function || b.memory != memory {
			return nil, fmt.Errorf("container %q: %w by one of function %q with %d bytes: names must be unique on the node", name, errConflict, b.function, b.memory)
		}
		return b, nil
	}
	f, ok := n.functionLocked(function)
	switch {
	case !ok:
		return nil, fmt.Errorf("function %q is %w to this node: add it to functions.yaml", function, errUnknown)
	case n.closing:
		return nil, errClosing
	case n.booked+memory > n.spec.Memory:
		return nil, fmt.Errorf("%w: %d MiB wanted, %d of %d MiB are free: remove a container first or use another node", errFull,
			memory/cluster.MiB, (n.spec.Memory-n.booked)/cluster.MiB, n.spec.Memory/cluster.MiB)
	}
	b := &birth{function: function, memory: memory, done: make(chan struct{})}
	n.names[name] = b
	n.booked += memory
	n.busy.Go(func() { n.bear(b, name, f) })
	return b, nil
}

// bear starts a container and watches it to its end.
func (n *node) bear(b *birth, name string, f catalog.Function) {
	begin := time.Now()
	b.c, b.err = n.start(name, f, b.memory)
	n.mu.Lock()
	if b.err != nil {
		n.forgetLocked(name, b)
	} else {
		n.ids[b.c.id] = b.c
	}
	closing := n.closing
	n.mu.Unlock()
	close(b.done)
	if b.err != nil {
		n.log.Warn("container failed to start", "function", f.Name, "name", name, "err", b.err)
		return
	}
	n.log.Info("container started", "function", f.Name, "container", b.c.id, "mib", b.memory/cluster.MiB, "took", time.Since(begin).Round(100*time.Microsecond).String())
	if closing { // close has not seen it
		b.c.doomed.Store(true)
		b.c.stop(n.spec.StopGrace)
	}
	<-b.c.exited
	n.bury(b, name)
}

// start tries one port after the other.
func (n *node) start(name string, f catalog.Function, memory int64) (c *container, err error) {
	select {
	case n.starts <- struct{}{}:
	case <-n.ctx.Done():
		return nil, context.Cause(n.ctx)
	}
	leave := sync.OnceFunc(func() { <-n.starts })
	defer leave()
	for range portTries {
		if c, err = n.attempt(name, f, memory, leave); !errors.Is(err, errPortTaken) {
			break
		}
	}
	return c, err
}

func (n *node) attempt(name string, f catalog.Function, memory int64, calm func()) (*container, error) {
	c := &container{
		id: randomID(), name: name, function: f, memory: memory,
		folder: n.nextFolder(),
		logs:   n.logs,
		exited: make(chan struct{}),
		buried: make(chan struct{}),
	}
	var err error
	if c.port, err = n.ports.take(); err != nil {
		return nil, err
	}
	if c.user, err = n.users.take(); err != nil {
		n.ports.give(c.port)
		return nil, err
	}
	if c.fence, err = n.limits.fence(c.folder, c.user, memory); err != nil {
		n.ports.give(c.port)
		n.users.give(c.user)
		return nil, err
	}
	c.http = transport(c.address())
	if err = c.spawn(n.spec); err == nil {
		err = c.awaitReady(n.ctx, n.spec.StartLimit, calm)
	}
	if err == nil {
		err = c.fence.throttle(n.limits.share(memory)) // from here on: a start at full speed harms nobody for long
	}
	if err != nil {
		n.finish(c)
		return nil, err
	}
	return c, nil
}

func (n *node) nextFolder() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seq++
	return filepath.Join(n.spec.Workdir, fmt.Sprintf("c%d", n.seq))
}

// bury is for a container whose first process has ended, asked or not. Its
// memory is free again; what ended by itself is known until it is removed.
func (n *node) bury(b *birth, name string) {
	c := b.c
	asked := c.doomed.Load()
	if !asked {
		n.log.Warn("container ended by itself", "function", c.function.Name, "container", c.id, "why", c.whyEnded())
	}
	n.finish(c)
	n.mu.Lock()
	n.forgetLocked(name, b)
	if !asked {
		n.dead = append(n.dead, c.id)
		for len(n.dead) > keepDead {
			delete(n.ids, n.dead[0])
			n.dead = n.dead[1:]
		}
	}
	n.mu.Unlock()
	close(c.buried)
}

// finish makes sure that nothing of a container is left, and takes back what it was given.
func (n *node) finish(c *container) {
	c.stop(0)
	n.ports.give(c.port)
	n.users.give(c.user)
	n.logs.end(c.id)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spent += c.spent
}

func (n *node) forgetLocked(name string, b *birth) {
	n.booked -= b.memory
	delete(n.names, name)
}

// find knows all containers that were not removed, and some that ended.
func (n *node) find(id string) (*container, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c, ok := n.ids[id]; ok {
		return c, nil
	}
	return nil, fmt.Errorf("container %q is %w to node %s: it was removed, or is on another node", id, errUnknown, n.spec.ID)
}

// remove ends a container and returns when nothing of it is left.
func (n *node) remove(id string) error {
	c, err := n.find(id)
	if err != nil {
		return err
	}
	first := !c.doomed.Swap(true)
	c.stop(n.spec.StopGrace)
	<-c.buried
	n.mu.Lock()
	delete(n.ids, id)
	n.dead = slices.DeleteFunc(n.dead, func(d string) bool { return d == id })
	n.mu.Unlock()
	if first {
		n.log.Info("container removed", "function", c.function.Name, "container", c.id)
	}
	return nil
}

// runningLocked lists the containers that run.
func (n *node) runningLocked() []*container {
	var all []*container
	for _, c := range n.ids {
		if !c.hasExited() {
			all = append(all, c)
		}
	}
	return all
}

// close ends all containers and returns when nothing of them is left.
func (n *node) close() {
	n.mu.Lock()
	n.closing = true
	all := n.runningLocked()
	n.mu.Unlock()
	n.cancel(errClosing) // ends those that start
	for _, c := range all {
		c.doomed.Store(true)
		n.busy.Go(func() { c.stop(n.spec.StopGrace) })
	}
	n.busy.Wait()
	n.limits.close()
}
