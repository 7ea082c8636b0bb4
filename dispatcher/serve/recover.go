package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/store"
)

// journal is where the shell writes what is ours before and after it acts, so that a restart finds it.
type journal interface {
	nodeJournal
	containerJournal
}

type nodeJournal interface {
	PutNode(store.NodeRecord) error // on the disk when it returns
	NoteNode(store.NodeRecord)      // soon
	DropNode(request string)
}

type containerJournal interface {
	PutContainer(store.ContainerRecord)
	DropContainer(name string)
}

// noJournal is for runs that keep no state.
type noJournal struct{}

func (noJournal) PutNode(store.NodeRecord) error     { return nil }
func (noJournal) NoteNode(store.NodeRecord)          {}
func (noJournal) DropNode(string)                    {}
func (noJournal) PutContainer(store.ContainerRecord) {}
func (noJournal) DropContainer(string)               {}

// Recovered counts what became of what an earlier run left.
type Recovered struct {
	Nodes, NodesGone           int
	Containers, ContainersGone int // adopted, and no longer there
	Strays                     int // removed: nobody knew them
	Leases                     int // taken over
	Unanswered                 int // reservations whose answer was lost, asked for again
	Discovered                 int // nodes that only the manager still knew
}

// recoverTime is what a node gets to tell what it has. A node that is silent for longer is given back.
const recoverTime = 800 * time.Millisecond

// Recover takes what an earlier run left into the books: it asks every node what it has, adopts the containers that
// are known, and removes the others. Where the state was lost, the manager is asked for nodes. Run must be running; no
// call is taken before.
func (s *Shell) Recover(ctx context.Context, found store.Found) Recovered {
	r := &recovery{shell: s, of: map[string][]store.ContainerRecord{}, kept: map[string]bool{}}
	for _, c := range found.Containers {
		r.of[c.Node] = append(r.of[c.Node], c)
	}
	if found.Moved != "" {
		found.Nodes = append(found.Nodes, r.discover(ctx)...)
	}
	var wg sync.WaitGroup
	for _, n := range found.Nodes {
		wg.Go(func() { r.node(ctx, n) })
	}
	wg.Wait()
	r.dropRest(found.Containers)
	s.strayUntil.Store(int64(s.Now() + strayTime))
	return r.sum
}

// recovery is one pass of Recover.
type recovery struct {
	shell *Shell
	of    map[string][]store.ContainerRecord // by node
	mu    sync.Mutex
	sum   Recovered       // guarded by mu
	kept  map[string]bool // names of adopted containers; guarded by mu
}

func (r *recovery) count(add func(*Recovered)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.sum)
}

// lister is a driver whose manager tells which nodes it has lent.
type lister interface {
	Nodes(ctx context.Context) ([]cluster.Node, error)
}

// discover asks the manager for the nodes that it has lent. It is for a scheduler whose state was lost: a manager
// does not say to whom, so that with two schedulers of one manager each would take the other's.
func (r *recovery) discover(ctx context.Context) []store.NodeRecord {
	l, ok := r.shell.opts.Driver.(lister)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	nodes, err := l.Nodes(ctx)
	if err != nil {
		r.shell.log.Warn("the state was lost, and the resource manager does not tell which nodes it has lent; look there for nodes that nobody uses", "error", err)
		return nil
	}
	records := make([]store.NodeRecord, len(nodes))
	for i, n := range nodes {
		records[i] = store.NodeRecord{Request: "found-" + runID + "-" + n.ID, Node: n}
	}
	r.count(func(c *Recovered) { c.Discovered += len(nodes) })
	return records
}

// node finds out what became of one node.
func (r *recovery) node(ctx context.Context, n store.NodeRecord) {
	s := r.shell
	if n.Node.ID == "" && !r.askAgain(ctx, &n) {
		return
	}
	stats, err := r.read(ctx, &n.Node)
	if err == nil && n.LiveID != "" && stats.LiveID != "" && stats.LiveID != n.LiveID {
		s.log.Warn("a node of an earlier run was handed out anew and is not ours any more", "node", n.Node.ID)
		r.count(func(c *Recovered) { c.NodesGone++ })
		s.journal.DropNode(n.Request)
		return
	}
	if n.Account == "" {
		n.Account = stats.Owner
	}
	id, bad := s.core.AdoptNode(s.Now(), n.Node, n.Account)
	if bad != nil {
		s.log.Error("a node of an earlier run could not be adopted", "node", n.Node.ID, "error", bad)
		return
	}
	s.keepNode(n)
	if err != nil || n.Leaving {
		r.count(func(c *Recovered) { c.NodesGone++ })
		if n.Leaving {
			err = errors.New("its release was ordered already")
		}
		s.lose(id, n.Node.ID, err) // which has it released, again and again until the manager answers
		return
	}
	if n.LiveID != stats.LiveID {
		n.LiveID = stats.LiveID
		s.keepNode(n)
	}
	r.count(func(c *Recovered) { c.Nodes++ })
	r.containers(ctx, id, &n.Node, stats)
}

// askAgain repeats a reservation whose answer was lost. Our own manager knows it by its request id; a foreign one
// may reserve another node, and the first is lost to us.
func (r *recovery) askAgain(ctx context.Context, n *store.NodeRecord) bool {
	s := r.shell
	ask, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	node, err := s.opts.Driver.ReserveNode(ask, n.Request, n.Account)
	switch {
	case err == nil:
		n.Node = node
		r.count(func(c *Recovered) { c.Unanswered++ })
		return true
	case errors.Is(err, cluster.ErrNoNode): // it would have had this one
		s.journal.DropNode(n.Request)
		return false
	}
	s.log.Warn("the answer to a reservation of an earlier run was lost; it is asked for again until the manager answers, and given back", "request", n.Request, "error", err)
	s.orders.Add(1)
	go func(n store.NodeRecord) {
		defer s.orders.Done()
		s.askLater(n)
	}(*n)
	return false
}

// askLater repeats a reservation until the manager answers, and gives the node back: nobody waits for it any more.
func (s *Shell) askLater(n store.NodeRecord) {
	for pause := time.Second; s.waitUntil(s.Now() + pause); pause = min(2*pause, 30*time.Second) {
		ctx, cancel := context.WithTimeout(s.base, s.opts.OrderTimeout)
		node, err := s.opts.Driver.ReserveNode(ctx, n.Request, n.Account)
		cancel()
		if err != nil && !errors.Is(err, cluster.ErrNoNode) {
			continue
		}
		if err == nil {
			s.giveBack(node)
		}
		s.journal.DropNode(n.Request)
		return
	}
}

func (r *recovery) read(ctx context.Context, n *cluster.Node) (stats cluster.Stats, err error) {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	return r.shell.opts.Driver.Stats(ctx, n)
}

// containers adopts those of a node's containers that are known and there, and removes the others.
func (r *recovery) containers(ctx context.Context, id dispatcher.NodeID, n *cluster.Node, stats cluster.Stats) {
	listed := map[string]bool{}
	for _, c := range stats.Containers {
		listed[c.ID] = true
	}
	proof := len(listed) > 0 // a node that lists nothing proves nothing
	var unnamed []store.ContainerRecord
	for _, c := range r.of[n.ID] {
		switch {
		case c.Leaving && c.ID != "":
			listed[c.ID] = true // its removal is finished
		case c.ID == "":
			unnamed = append(unnamed, c)
			continue
		case (!proof || listed[c.ID]) && r.adopt(id, &c) == nil:
			delete(listed, c.ID)
			continue
		}
		r.count(func(s *Recovered) { s.ContainersGone++ })
	}
	for _, c := range unnamed {
		if len(listed) > 0 && r.name(ctx, n, &c) && r.adopt(id, &c) == nil {
			delete(listed, c.ID)
			continue
		}
		r.count(func(s *Recovered) { s.ContainersGone++ })
	}
	var wg sync.WaitGroup
	for stray := range listed {
		r.count(func(s *Recovered) { s.Strays++ })
		wg.Go(func() { r.shell.removeStray(ctx, n, stray, recoverTime) })
	}
	wg.Wait()
}

// name asks for a container again whose start was answered, if at all, when nobody listened any more: a call may
// run on it, and our own nodes know it by its name.
func (r *recovery) name(ctx context.Context, n *cluster.Node, c *store.ContainerRecord) bool {
	if c.Leaving {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	id, err := r.shell.opts.Driver.CreateContainer(ctx, c.Name, n, &c.Function, cluster.Container{Name: c.Name, Memory: c.Memory})
	if err != nil || id == "" {
		return false
	}
	c.ID = id
	return true
}

// nameTime is enough for a node that has the container. One that is still starting is a stray when it comes up.
const nameTime = 200 * time.Millisecond

func (r *recovery) adopt(id dispatcher.NodeID, c *store.ContainerRecord) error {
	s := r.shell
	leases := s.leasesOf(c)
	var err error
	s.do(func(now time.Duration, fx *dispatcher.Effects) {
		err = s.core.Adopt(now, dispatcher.Adopted{Node: id, Function: c.Function, Concurrency: c.Concurrency, ID: c.ID, Name: c.Name,
			Units: c.Units, Memory: c.Memory, Slot: c.Slot, Leases: leases}, fx)
	})
	if err != nil {
		s.log.Error("a container of an earlier run could not be adopted", "container", c.ID, "error", err)
		return err
	}
	s.keepContainer(*c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Containers++
	r.sum.Leases += leases
	r.kept[c.Name] = true
	return nil
}

// dropRest forgets the records of containers that were not adopted.
func (r *recovery) dropRest(all []store.ContainerRecord) {
	for _, c := range all {
		if !r.kept[c.Name] {
			r.shell.journal.DropContainer(c.Name)
		}
	}
}

// leasesOf is how many leases a container had, as its slot says; as many as it may have where there is no slot.
func (s *Shell) leasesOf(c *store.ContainerRecord) int {
	counts := s.opts.Core.Leases
	if c.Slot >= 0 && c.Slot < len(counts) {
		return int(counts[c.Slot])
	}
	if c.Concurrency > 0 {
		return c.Concurrency
	}
	return int(c.Units)
}

// removeStray removes a container that a node has and nobody ordered, or whose order was lost.
func (s *Shell) removeStray(ctx context.Context, n *cluster.Node, id string, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	err := s.opts.Driver.RemoveContainer(ctx, "stray-"+id, n, id)
	if err != nil && !errors.Is(err, cluster.ErrNotFound) {
		s.log.Warn("a container that nobody knows could not be removed", "container", id, "node", n.ID, "error", err)
		return
	}
	s.log.Info("a container that nobody knew was removed", "container", id, "node", n.ID)
}

// keepNode notes a node, and remembers its record for later changes.
func (s *Shell) keepNode(n store.NodeRecord) {
	s.nodesMu.Lock()
	s.nodes[n.Node.ID] = n
	s.nodesMu.Unlock()
	s.journal.NoteNode(n)
}

// leaveNode notes that a node is to be released, so that a restart does not use it again.
func (s *Shell) leaveNode(id string) {
	s.nodesMu.Lock()
	n, ok := s.nodes[id]
	n.Leaving = true
	if ok {
		s.nodes[id] = n
	}
	s.nodesMu.Unlock()
	if ok {
		s.journal.NoteNode(n)
	}
}

// dropNode forgets a node that was given back, and what it held.
func (s *Shell) dropNode(id string) {
	s.nodesMu.Lock()
	n, ok := s.nodes[id]
	delete(s.nodes, id)
	held := s.held[id]
	delete(s.held, id)
	s.nodesMu.Unlock()
	for name := range held {
		s.journal.DropContainer(name)
	}
	if ok {
		s.journal.DropNode(n.Request)
	}
}

// keepContainer notes a container of a node.
func (s *Shell) keepContainer(c store.ContainerRecord) {
	s.nodesMu.Lock()
	if s.held[c.Node] == nil {
		s.held[c.Node] = map[string]store.ContainerRecord{}
	}
	s.held[c.Node][c.Name] = c
	s.nodesMu.Unlock()
	s.journal.PutContainer(c)
}

// leaveContainer notes that a container's removal was ordered, so that a restart finishes it.
func (s *Shell) leaveContainer(node, name string) {
	s.nodesMu.Lock()
	c, ok := s.held[node][name]
	s.nodesMu.Unlock()
	if ok && !c.Leaving {
		c.Leaving = true
		s.keepContainer(c)
	}
}

// dropContainer forgets a container of a node.
func (s *Shell) dropContainer(node, name string) {
	s.nodesMu.Lock()
	delete(s.held[node], name)
	s.nodesMu.Unlock()
	s.journal.DropContainer(name)
}

// String sums up for the log.
func (r Recovered) String() string {
	return fmt.Sprintf("%d nodes and %d containers adopted with %d leases, %d nodes and %d containers gone, %d strays removed, %d reservations asked for again, %d nodes known to the manager alone",
		r.Nodes, r.Containers, r.Leases, r.NodesGone, r.ContainersGone, r.Strays, r.Unanswered, r.Discovered)
}
