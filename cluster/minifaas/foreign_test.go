package minifaas

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	"github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// foreignManager is a resource manager of somebody else's. Its answers are the test's.
type foreignManager struct {
	resourcemanagerproto.UnimplementedResourceManagerServer

	reserve func(*resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error)
	release func(*resourcemanagerproto.ReleaseNodeRequest) error

	mu       sync.Mutex
	released []string // node ids, in order; guarded by mu
}

func (m *foreignManager) ReserveNode(_ context.Context, r *resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error) {
	return m.reserve(r)
}

func (m *foreignManager) ReleaseNode(_ context.Context, r *resourcemanagerproto.ReleaseNodeRequest) (*resourcemanagerproto.ReleaseNodeReply, error) {
	if m.release != nil {
		if err := m.release(r); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released = append(m.released, r.GetId())
	return &resourcemanagerproto.ReleaseNodeReply{}, nil
}

// foreignNode is a node of somebody else's.
type foreignNode struct {
	nodeservoceproto.UnimplementedNodeServiceServer

	create func(context.Context, *nodeservoceproto.CreateContainerRequest) (*nodeservoceproto.CreateContainerReply, error)
	remove func(*nodeservoceproto.RemoveContainerRequest) error
	stats  func() *nodeservoceproto.GetStatsReply
}

func (n *foreignNode) CreateContainer(ctx context.Context, r *nodeservoceproto.CreateContainerRequest) (*nodeservoceproto.CreateContainerReply, error) {
	return n.create(ctx, r)
}

func (n *foreignNode) RemoveContainer(_ context.Context, r *nodeservoceproto.RemoveContainerRequest) (*nodeservoceproto.RemoveContainerReply, error) {
	return &nodeservoceproto.RemoveContainerReply{}, n.remove(r)
}

func (n *foreignNode) GetStats(context.Context, *nodeservoceproto.GetStatsRequest) (*nodeservoceproto.GetStatsReply, error) {
	return n.stats(), nil
}

// peer is a server on loopback that counts its connections.
type peer struct {
	addr     string
	server   *grpc.Server
	accepted atomic.Int64
	open     atomic.Int64
}

// listen starts a server at addr, or at a free port for "". Anything may be registered with it.
func listen(t *testing.T, addr string, register func(*grpc.Server)) *peer {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("listen at %s: %v", addr, err)
	}
	p := &peer{addr: l.Addr().String(), server: grpc.NewServer()}
	register(p.server)
	go p.server.Serve(countingListener{l, p})
	t.Cleanup(p.server.Stop)
	return p
}

func listenManager(t *testing.T, addr string, m *foreignManager) *peer {
	return listen(t, addr, func(s *grpc.Server) { resourcemanagerproto.RegisterResourceManagerServer(s, m) })
}

// listenNode starts a node and describes it as a manager would.
func listenNode(t *testing.T, addr string, n *foreignNode) (*peer, *cluster.Node) {
	p := listen(t, addr, func(s *grpc.Server) { nodeservoceproto.RegisterNodeServiceServer(s, n) })
	a, err := net.ResolveTCPAddr("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	return p, &cluster.Node{ID: "node-1", Address: a.IP.String(), Port: int64(a.Port), Memory: 3 * cluster.GiB}
}

// freeAddress is one where nobody listens.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newDriver(t *testing.T, manager string) *Driver {
	t.Helper()
	d, err := New(Options{Manager: manager, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func coded(c codes.Code, msg string) error { return status.Error(c, msg) }

type countingListener struct {
	net.Listener
	p *peer
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.p.accepted.Add(1)
	l.p.open.Add(1)
	return &countedConn{Conn: c, p: l.p}, nil
}

type countedConn struct {
	net.Conn
	p    *peer
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.p.open.Add(-1) })
	return c.Conn.Close()
}
