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
}

// recoverTime is what a node gets to tell what it has. A node that is silent for longer is given back.
const recoverTime = time.Second

// Recover takes what an earlier run left into the books: it asks every node what it has, adopts the containers that
// are known, and removes the others. Run must be running; no call is taken before.
func (s *Shell) Recover(ctx context.Context, found store.Found) Recovered {
	of := map[string][]store.ContainerRecord{}
	for _, c := range found.Containers {
		of[c.Node] = append(of[c.Node], c)
	}
	r := &recovery{shell: s}
	var wg sync.WaitGroup
	for _, n := range found.Nodes {
		wg.Go(func() { r.node(ctx, n, of) })
	}
	wg.Wait()
	r.dropRest(found.Containers)
	s.strayUntil.Store(int64(s.Now() + strayTime))
	return r.sum
}

// recovery is one pass of Recover.
type recovery struct {
	shell *Shell
	mu    sync.Mutex
	sum   Recovered
	kept  map[string]bool // names of adopted containers
}

func (r *recovery) count(add func(*Recovered)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.sum)
}

// node finds out what became of one node.
func (r *recovery) node(ctx context.Context, n store.NodeRecord, of map[string][]store.ContainerRecord) {
	s := r.shell
	if n.Node.ID == "" && !r.askAgain(ctx, &n) {
		return
	}
	stats, err := r.read(ctx, &n.Node)
	if err != nil {
		s.log.Warn("a node of an earlier run does not answer and is given back", "node", n.Node.ID, "error", err)
		r.count(func(c *Recovered) { c.NodesGone++ })
		s.giveBack(n.Node)
		s.journal.DropNode(n.Request)
		return
	}
	if n.LiveID != "" && stats.LiveID != "" && stats.LiveID != n.LiveID {
		s.log.Warn("a node of an earlier run was handed out anew and is not ours any more", "node", n.Node.ID)
		r.count(func(c *Recovered) { c.NodesGone++ })
		s.journal.DropNode(n.Request)
		return
	}
	id, err := s.core.AdoptNode(s.Now(), n.Node, n.Account)
	if err != nil {
		s.log.Error("a node of an earlier run could not be adopted", "node", n.Node.ID, "error", err)
		return
	}
	n.LiveID = stats.LiveID
	s.keepNode(n)
	r.count(func(c *Recovered) { c.Nodes++ })
	r.containers(ctx, id, &n.Node, stats, of[n.Node.ID])
}

// askAgain repeats a reservation whose answer was lost. Our own manager knows it by its request id; a foreign one
// may reserve another node, and the first is lost to us.
func (r *recovery) askAgain(ctx context.Context, n *store.NodeRecord) bool {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	node, err := r.shell.opts.Driver.ReserveNode(ctx, n.Request, n.Account)
	if err != nil {
		r.shell.log.Warn("the answer to a reservation of an earlier run was lost, and it cannot be asked for again", "request", n.Request, "error", err)
		r.shell.journal.DropNode(n.Request)
		return false
	}
	n.Node = node
	r.count(func(c *Recovered) { c.Unanswered++ })
	return true
}

func (r *recovery) read(ctx context.Context, n *cluster.Node) (stats cluster.Stats, err error) {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	return r.shell.opts.Driver.Stats(ctx, n)
}

// containers adopts those of a node's containers that are known and there, and removes the others.
func (r *recovery) containers(ctx context.Context, id dispatcher.NodeID, n *cluster.Node, stats cluster.Stats, known []store.ContainerRecord) {
	listed := map[string]bool{}
	for _, c := range stats.Containers {
		listed[c.ID] = true
	}
	proof := len(listed) > 0 // a node that lists nothing proves nothing
	for _, c := range known {
		gone := c.ID == "" || proof && !listed[c.ID]
		if gone || c.Leaving || r.adopt(id, &c) != nil {
			r.count(func(s *Recovered) { s.ContainersGone++ })
			continue
		}
		delete(listed, c.ID)
	}
	for stray := range listed {
		r.count(func(s *Recovered) { s.Strays++ })
		r.shell.removeStray(ctx, n, stray)
	}
}

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
	r.count(func(sum *Recovered) { sum.Containers++; sum.Leases += leases })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept == nil {
		r.kept = map[string]bool{}
	}
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
func (s *Shell) removeStray(ctx context.Context, n *cluster.Node, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.OrderTimeout)
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

// dropNode forgets a node that was given back.
func (s *Shell) dropNode(id string) {
	s.nodesMu.Lock()
	n, ok := s.nodes[id]
	delete(s.nodes, id)
	s.nodesMu.Unlock()
	if ok {
		s.journal.DropNode(n.Request)
	}
}

// String sums up for the log.
func (r Recovered) String() string {
	return fmt.Sprintf("%d nodes and %d containers adopted with %d leases, %d nodes and %d containers gone, %d strays removed, %d reservations asked for again",
		r.Nodes, r.Containers, r.Leases, r.NodesGone, r.ContainersGone, r.Strays, r.Unanswered)
}
