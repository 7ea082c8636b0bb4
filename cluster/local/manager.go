package local

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/forewarm/forewarm/cluster"
	nodepb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// keepReleased is how many released nodes a manager still tells of.
const keepReleased = 10_000

// Manager is a resource manager whose nodes are processes below it.
type Manager struct {
	opts  ManagerOptions
	nodes launcher
	run   string // part of every node's id, so that those of an earlier manager are not taken for ours

	mu           sync.Mutex // guards what follows, and the fields of rentals
	stock        *stock
	closing      bool
	seq          int
	functionsSeq int // counts SetFunctions
	byID         map[string]*rental
	byAsking     map[string]*rental // those in use, by account and request_id
	released     []*rental          // oldest first
	busy         sync.WaitGroup     // starts and watches of nodes
}

// rental is a node from its reservation on.
type rental struct {
	id, account, request string
	reserved, released   time.Time     // released is zero while it is in use
	ready                chan struct{} // closed when node or err is set
	node                 *nodeProcess
	err                  error
	gone                 chan struct{} // closed when nothing of it is left
}

// NewManager checks the options. Serve the manager, else it does nothing.
func NewManager(o ManagerOptions) (*Manager, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Manager{
		opts:     o,
		nodes:    launcher{log: o.Logger},
		run:      randomID()[:4],
		stock:    newStock(o.Available, o.Cap, o.Refill),
		byID:     map[string]*rental{},
		byAsking: map[string]*rental{},
	}, nil
}

// RunManager listens and serves until ctx ends, and returns when all nodes have ended.
func RunManager(ctx context.Context, o ManagerOptions) error {
	m, err := NewManager(o)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", m.opts.Listen)
	if err != nil {
		return fmt.Errorf("manager: %w: choose another address, or end who uses it", err)
	}
	return m.Serve(ctx, listener)
}

// Serve answers on the listener until ctx ends, and returns when all nodes have
// ended. A manager serves once.
func (m *Manager) Serve(ctx context.Context, listener net.Listener) error {
	clearLeftovers(m.opts.Node.Folder, m.opts.Logger)
	server := newServer()
	pb.RegisterResourceManagerServer(server, &managerService{manager: m})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	m.opts.Logger.Info("manager serves", "address", listener.Addr().String(), "nodes", m.opts.Available, "cap", m.opts.Cap)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("manager: serve: %w", err)
	}
	stopped := make(chan struct{})
	go func() {
		m.close()
		close(stopped)
	}()
	server.Stop()
	<-stopped
	return err
}

// reserve gives the node of that request, or a new one.
func (m *Manager) reserve(ctx context.Context, request, account string) (*rental, error) {
	r, err := m.rent(request, account)
	if err != nil {
		return nil, err
	}
	select {
	case <-r.ready:
		return r, r.err
	case <-ctx.Done():
		if request == "" { // nobody can ask for it again
			go m.giveBack(r.id) // close gives back the same, and waits
		}
		return nil, ctx.Err()
	}
}

func (m *Manager) rent(request, account string) (*rental, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	asking := account + "\x00" + request
	if r, ok := m.byAsking[asking]; ok && request != "" {
		return r, nil
	}
	now := time.Now()
	switch {
	case m.closing:
		return nil, errClosing
	case !m.stock.take(now):
		return nil, fmt.Errorf("no available node can be reserved: %w", cluster.ErrNoNode)
	}
	m.seq++
	r := &rental{
		id:      fmt.Sprintf("node-%s-%d", m.run, m.seq),
		account: account, request: asking, reserved: now,
		ready: make(chan struct{}), gone: make(chan struct{}),
	}
	m.byID[r.id] = r
	if request != "" {
		m.byAsking[asking] = r
	}
	m.busy.Go(func() { m.attend(r) })
	return r, nil
}

// attend starts a node and watches it to its end.
func (m *Manager) attend(r *rental) {
	defer close(r.gone)
	begin := time.Now()
	node, seq, err := m.start(r)
	m.mu.Lock()
	if err == nil && seq != m.functionsSeq { // they changed meanwhile
		if err = m.informLocked(node); err != nil {
			defer node.stop()
		}
	}
	r.node, r.err = node, err
	if err != nil {
		m.stock.undo(time.Now())
		delete(m.byID, r.id)
		m.forgetLocked(r)
	}
	m.mu.Unlock()
	close(r.ready)
	if err != nil {
		m.opts.Logger.Error("node failed to start", "node", r.id, "err", err)
		return
	}
	m.opts.Logger.Info("node reserved", "node", r.id, "account", r.account, "port", node.port, "took", time.Since(begin).Round(time.Millisecond).String())
	<-node.ended
	if m.release(r) {
		m.opts.Logger.Warn("node lost: its process ended", "node", r.id, "account", r.account)
	}
}

// start starts the node and hands it to its account. It says as of which SetFunctions the node knows the functions.
func (m *Manager) start(r *rental) (node *nodeProcess, functionsSeq int, err error) {
	m.mu.Lock()
	o, functionsSeq := m.opts.Node, m.functionsSeq
	m.mu.Unlock()
	o.ID = r.id
	if node, err = m.nodes.start(o); err != nil {
		return nil, functionsSeq, err
	}
	if err := handOver(node, r.account); err != nil {
		node.stop()
		return nil, functionsSeq, fmt.Errorf("hand over node %s: %w", r.id, err)
	}
	return node, functionsSeq, nil
}

func handOver(node *nodeProcess, account string) error {
	conn, err := grpc.NewClient(node.address(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	_, err = nodepb.NewNodeServiceClient(conn).Reserve(ctx, &nodepb.ReserveRequest{OwnerAccountId: account})
	return err
}

// release notes the end of a rental; false when it was noted before.
func (m *Manager) release(r *rental) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !r.released.IsZero() {
		return false
	}
	r.released = time.Now()
	m.stock.giveBack(r.released)
	m.forgetLocked(r)
	m.released = append(m.released, r)
	for len(m.released) > keepReleased {
		delete(m.byID, m.released[0].id)
		m.released = m.released[1:]
	}
	return true
}

func (m *Manager) forgetLocked(r *rental) {
	if m.byAsking[r.request] == r {
		delete(m.byAsking, r.request)
	}
}

// giveBack ends a node, and returns when nothing of it is left.
func (m *Manager) giveBack(id string) error {
	m.mu.Lock()
	r := m.byID[id]
	m.mu.Unlock()
	if r == nil {
		return fmt.Errorf("node %q is %w: it was never reserved from this manager, or very long ago", id, errUnknown)
	}
	if <-r.ready; r.err != nil {
		return nil // there never was one
	}
	if m.release(r) {
		m.opts.Logger.Info("node released", "node", r.id, "account", r.account)
	}
	r.node.stop()
	<-r.gone
	return nil
}

// list gives the nodes in the order of their reservation, released ones included.
func (m *Manager) list() []*pb.NodeDesc {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*pb.NodeDesc
	for _, r := range m.byID {
		if r.node != nil {
			all = append(all, m.describeLocked(r))
		}
	}
	slices.SortFunc(all, func(a, b *pb.NodeDesc) int {
		return cmp.Or(cmp.Compare(a.ReservedTimeTimestampMs, b.ReservedTimeTimestampMs), cmp.Compare(len(a.Id), len(b.Id)), cmp.Compare(a.Id, b.Id))
	})
	return all
}

func (m *Manager) describe(r *rental) *pb.NodeDesc {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.describeLocked(r)
}

func (m *Manager) describeLocked(r *rental) *pb.NodeDesc {
	d := &pb.NodeDesc{
		Id:                      r.id,
		Address:                 r.node.host(),
		NodeServicePort:         int64(r.node.port),
		MemoryInBytes:           m.opts.Node.Sold,
		ReservedTimeTimestampMs: r.reserved.UnixMilli(),
	}
	if !r.released.IsZero() {
		d.ReleasedTimeTimestampMs = r.released.UnixMilli()
	}
	return d
}

// close ends all nodes at once.
func (m *Manager) close() {
	m.mu.Lock()
	m.closing = true
	var all []string
	for id, r := range m.byID {
		if r.released.IsZero() {
			all = append(all, id)
		}
	}
	m.mu.Unlock()
	for _, id := range all {
		m.busy.Go(func() { _ = m.giveBack(id) }) // only a node that is gone cannot be given back
	}
	m.busy.Wait()
}
