package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// fakeScheduler hands out leases on one node and keeps account of them.
type fakeScheduler struct {
	schedulerproto.UnimplementedSchedulerServer

	node     *schedulerproto.AcquireContainerReply // handed out, with a container id of its own for each lease
	metadata metadata.MD                           // sent with each lease; nil for a foreign scheduler
	onGet    func(ctx context.Context, n int64) error
	onReturn func(n int64) error // n counts from 1

	gets, returnCalls atomic.Int64

	mu       sync.Mutex
	acquired []*schedulerproto.AcquireContainerRequest         // guarded by mu
	live     map[string]string                                 // request id -> container; guarded by mu
	returned map[string]*schedulerproto.ReturnContainerRequest // request id -> its return; guarded by mu
	wrong    []string                                          // what a scheduler would complain about; guarded by mu
}

func (f *fakeScheduler) AcquireContainer(ctx context.Context, r *schedulerproto.AcquireContainerRequest) (*schedulerproto.AcquireContainerReply, error) {
	n := f.gets.Add(1)
	f.mu.Lock()
	f.acquired = append(f.acquired, r)
	f.mu.Unlock()
	if f.onGet != nil {
		if err := f.onGet(ctx, n); err != nil {
			return nil, err
		}
	}
	if f.metadata != nil {
		if err := grpc.SetHeader(ctx, f.metadata); err != nil {
			return nil, err
		}
	}
	reply := &schedulerproto.AcquireContainerReply{
		NodeId:          f.node.GetNodeId(),
		NodeAddress:     f.node.GetNodeAddress(),
		NodeServicePort: f.node.GetNodeServicePort(),
		ContainerId:     fmt.Sprintf("c%d", n),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, twice := f.live[r.GetRequestId()]; twice || f.returned[r.GetRequestId()] != nil {
		f.wrong = append(f.wrong, "request id used twice: "+r.GetRequestId())
	}
	f.live[r.GetRequestId()] = reply.ContainerId
	return reply, nil
}

func (f *fakeScheduler) ReturnContainer(_ context.Context, r *schedulerproto.ReturnContainerRequest) (*schedulerproto.ReturnContainerReply, error) {
	if f.onReturn != nil {
		if err := f.onReturn(f.returnCalls.Add(1)); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.live[r.GetRequestId()] != r.GetContainerId() || r.GetContainerId() == "" {
		f.wrong = append(f.wrong, fmt.Sprintf("return of no lease: %v", r))
		return nil, status.Error(codes.NotFound, "no such lease")
	}
	delete(f.live, r.GetRequestId())
	f.returned[r.GetRequestId()] = r
	return &schedulerproto.ReturnContainerReply{}, nil
}

// settled waits until no lease is live and gives the returns in the order of their leases.
func (f *fakeScheduler) settled(t *testing.T, want int) []*schedulerproto.ReturnContainerRequest {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		done := len(f.live) == 0 && len(f.returned) == want
		if done || time.Now().After(deadline) {
			break
		}
		f.mu.Unlock()
	}
	defer f.mu.Unlock()
	if len(f.live) != 0 || len(f.returned) != want {
		t.Fatalf("%d leases were returned and %d not, want %d and none", len(f.returned), len(f.live), want)
	}
	if len(f.wrong) > 0 {
		t.Errorf("the scheduler complains: %q", f.wrong)
	}
	var rs []*schedulerproto.ReturnContainerRequest
	for _, a := range f.acquired {
		if r := f.returned[a.GetRequestId()]; r != nil {
			rs = append(rs, r)
		}
	}
	return rs
}

// fakeNode runs functions as the test says.
type fakeNode struct {
	nodeservoceproto.UnimplementedNodeServiceServer
	invoke func(*nodeservoceproto.InvokeFunctionRequest, nodeservoceproto.NodeService_InvokeFunctionServer) error
}

func (n *fakeNode) InvokeFunction(r *nodeservoceproto.InvokeFunctionRequest, s nodeservoceproto.NodeService_InvokeFunctionServer) error {
	return n.invoke(r, s)
}

// pieces answers with what is given, in order.
func pieces(ps ...*nodeservoceproto.InvokeFunctionReply) func(*nodeservoceproto.InvokeFunctionRequest, nodeservoceproto.NodeService_InvokeFunctionServer) error {
	return func(_ *nodeservoceproto.InvokeFunctionRequest, s nodeservoceproto.NodeService_InvokeFunctionServer) error {
		for _, p := range ps {
			if err := s.Send(p); err != nil {
				return err
			}
		}
		return nil
	}
}

// echo answers with the event, as a well-behaved node would.
func echo(r *nodeservoceproto.InvokeFunctionRequest, s nodeservoceproto.NodeService_InvokeFunctionServer) error {
	return pieces(header("200"), body(string(r.GetEvent())), footer(1500*time.Microsecond))(r, s)
}

func header(code string) *nodeservoceproto.InvokeFunctionReply {
	return &nodeservoceproto.InvokeFunctionReply{Header: &nodeservoceproto.InvokeFunctionReply_Header{
		StatusCode:         code,
		MaxMemUsageInBytes: 5 << 20,
		Headers: map[string]*nodeservoceproto.InvokeFunctionReply_Header_Value{
			"content-type": {Items: []string{"text/x-test"}},
			"X-Two":        {Items: []string{"a", "b"}},
		},
	}}
}

func body(s string) *nodeservoceproto.InvokeFunctionReply {
	return &nodeservoceproto.InvokeFunctionReply{Body: []byte(s)}
}

func footer(d time.Duration) *nodeservoceproto.InvokeFunctionReply {
	return &nodeservoceproto.InvokeFunctionReply{Footer: &nodeservoceproto.InvokeFunctionReply_Footer{DurationInNanos: d.Nanoseconds()}}
}

// serve starts a gRPC server at addr, or a free port of loopback for "".
func serve(t testing.TB, addr string, register func(*grpc.Server), opts ...grpc.ServerOption) (*grpc.Server, string) {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("listen at %s: %v", addr, err)
	}
	g := grpc.NewServer(opts...)
	register(g)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return g, l.Addr().String()
}

// world is a gateway between a fake scheduler and a fake node.
type world struct {
	s         *Server
	scheduler *fakeScheduler
	node      *fakeNode

	schedulerServer, nodeServer *grpc.Server
	schedulerAddr, nodeAddr     string
}

// newWorld starts all three; the functions are "fn", with a timeout of 10 s, and "brief", with one of 50 ms.
func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{
		scheduler: &fakeScheduler{
			metadata: metadata.Pairs(startKey, "cold", waitKey, "1500"),
			live:     map[string]string{},
			returned: map[string]*schedulerproto.ReturnContainerRequest{},
		},
		node: &fakeNode{invoke: echo},
	}
	w.nodeServer, w.nodeAddr = serve(t, "", w.registerNode, grpc.MaxRecvMsgSize(64<<20))
	a, err := net.ResolveTCPAddr("tcp", w.nodeAddr)
	if err != nil {
		t.Fatal(err)
	}
	w.scheduler.node = &schedulerproto.AcquireContainerReply{NodeId: "n1", NodeAddress: a.IP.String(), NodeServicePort: int64(a.Port)}
	w.schedulerServer, w.schedulerAddr = serve(t, "", w.registerScheduler)
	o := Options{
		Scheduler: w.schedulerAddr,
		Catalog: &catalog.Catalog{Functions: []catalog.Function{
			{Name: "fn", Memory: 128 << 20, Timeout: 10 * time.Second, Handler: "h", Concurrency: 1},
			{Name: "brief", Memory: 64 << 20, Timeout: 50 * time.Millisecond},
		}},
		MaxBody: 1 << 20,
		Seed:    1,
		Log:     slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	if w.s, err = New(o); err != nil {
		t.Fatal(err)
	}
	w.s.grace, w.s.askFor = 50*time.Millisecond, 200*time.Millisecond
	t.Cleanup(w.s.Close)
	return w
}

func (w *world) registerScheduler(g *grpc.Server) {
	schedulerproto.RegisterSchedulerServer(g, w.scheduler)
}

func (w *world) registerNode(g *grpc.Server) { nodeservoceproto.RegisterNodeServiceServer(g, w.node) }

// logTo keeps what the gateway logs.
type logTo struct {
	mu  sync.Mutex
	out []byte // guarded by mu
}

func (l *logTo) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = append(l.out, p...)
	return len(p), nil
}

func (l *logTo) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.out)
}
