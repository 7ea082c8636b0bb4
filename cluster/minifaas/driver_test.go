package minifaas

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	"github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// check tests an error against the sentinel it must wrap (nil: none of them) and words it must hold.
func check(t *testing.T, err error, sentinel error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, s := range []error{cluster.ErrNoNode, cluster.ErrNodeLost, cluster.ErrNotFound, cluster.ErrOutOfMemory,
		context.Canceled, context.DeadlineExceeded, errClosed} {
		if errors.Is(err, s) != (s == sentinel) {
			t.Errorf("%q: wraps %q: %v", err, s, errors.Is(err, s))
		}
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	if status.Code(err) != codes.Unknown {
		t.Errorf("%q leaks code %v of the wire", err, status.Code(err))
	}
}

func goodNode() *resourcemanagerproto.NodeDesc {
	return &resourcemanagerproto.NodeDesc{Id: "n1", Address: "10.0.0.1", NodeServicePort: 30000, MemoryInBytes: 3 * cluster.GiB}
}

func TestNewRefusesBadOptions(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{}, `minifaas: the resource manager's address "" is not host:port, such as 127.0.0.1:10400`},
		{Options{Manager: "localhost"}, `minifaas: the resource manager's address "localhost" is not host:port, such as 127.0.0.1:10400`},
		{Options{Manager: ":10400"}, `minifaas: the resource manager's address ":10400" is not host:port, such as 127.0.0.1:10400`},
		{Options{Manager: "a:1", Timeout: -1}, `minifaas: timeout -1ns is negative: leave it at 0 for 30s`},
	} {
		if _, err := New(tt.o); err == nil || err.Error() != tt.want {
			t.Errorf("New(%+v) = %v, want %s", tt.o, err, tt.want)
		}
	}
}

func TestReserveNode(t *testing.T) {
	var asked *resourcemanagerproto.ReserveNodeRequest
	m := &foreignManager{reserve: func(r *resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error) {
		asked = r
		return &resourcemanagerproto.ReserveNodeReply{Node: goodNode()}, nil
	}}
	d := newDriver(t, listenManager(t, "", m).addr)
	n, err := d.ReserveNode(t.Context(), "r1", "acc")
	want := cluster.Node{ID: "n1", Address: "10.0.0.1", Port: 30000, Memory: 3 * cluster.GiB}
	if err != nil || n != want {
		t.Errorf("ReserveNode = %+v, %v, want %+v", n, err, want)
	}
	if asked.GetRequestId() != "r1" || asked.GetAccountId() != "acc" {
		t.Errorf("the manager was asked %v", asked)
	}
}

// The manager of the contest answers code 8 at once while none of its machines is free.
func TestManagerWithoutANodeNowAndThen(t *testing.T) {
	var calls atomic.Int64
	m := &foreignManager{reserve: func(*resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error) {
		if calls.Add(1)%3 != 0 {
			return nil, coded(codes.ResourceExhausted, "no available node can be reserved")
		}
		return &resourcemanagerproto.ReserveNodeReply{Node: goodNode()}, nil
	}}
	p := listenManager(t, "", m)
	d := newDriver(t, p.addr)
	for i := 1; i <= 6; i++ {
		_, err := d.ReserveNode(t.Context(), fmt.Sprint(i), "acc")
		if i%3 == 0 {
			if err != nil {
				t.Errorf("ReserveNode %d: %v", i, err)
			}
			continue
		}
		check(t, err, cluster.ErrNoNode, `reserve a node for account "acc"`, p.addr, "no available node can be reserved")
	}
	if calls.Load() != 6 {
		t.Errorf("the manager was asked %d times, want 6: to ask again is not the driver's to decide", calls.Load())
	}
}

func TestUselessNodesAreRefusedAndGivenBack(t *testing.T) {
	for _, tt := range []struct {
		claim string
		spoil func(*resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc
		want  string
		back  []string
	}{
		{"no node", func(*resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc { return nil }, "the node has no id", nil},
		{"no id", func(n *resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc { n.Id = ""; return n }, "the node has no id", nil},
		{"no address", func(n *resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc { n.Address = ""; return n }, `node "n1" has no address`, []string{"n1"}},
		{"no port", func(n *resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc { n.NodeServicePort = 0; return n }, `port 0 of node "n1" is outside 1..65535`, []string{"n1"}},
		{"absurd port", func(n *resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc {
			n.NodeServicePort = 70000
			return n
		}, `port 70000 of node "n1" is outside 1..65535`, []string{"n1"}},
		{"no memory", func(n *resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc { n.MemoryInBytes = 0; return n }, `node "n1" has 0 bytes of memory`, []string{"n1"}},
		{"absurd memory", func(n *resourcemanagerproto.NodeDesc) *resourcemanagerproto.NodeDesc {
			n.MemoryInBytes = math.MaxInt64
			return n
		}, `node "n1" has 9223372036854775807 bytes of memory`, []string{"n1"}},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			m := &foreignManager{reserve: func(*resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error) {
				return &resourcemanagerproto.ReserveNodeReply{Node: tt.spoil(goodNode())}, nil
			}}
			d := newDriver(t, listenManager(t, "", m).addr)
			_, err := d.ReserveNode(t.Context(), "r", "acc")
			check(t, err, nil, "the reply is useless: "+tt.want)
			if !reflect.DeepEqual(m.released, tt.back) {
				t.Errorf("given back %q, want %q", m.released, tt.back)
			}
		})
	}
}

func TestManagerThatIsNotUpYet(t *testing.T) {
	addr := freeAddress(t)
	d := newDriver(t, addr)
	done := make(chan error, 1)
	go func() {
		_, err := d.ReserveNode(t.Context(), "r", "acc")
		done <- err
	}()
	time.Sleep(300 * time.Millisecond) // a few attempts fail meanwhile
	listenManager(t, addr, &foreignManager{reserve: func(*resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error) {
		return &resourcemanagerproto.ReserveNodeReply{Node: goodNode()}, nil
	}})
	if err := <-done; err != nil {
		t.Errorf("the manager came up, but ReserveNode failed: %v", err)
	}
}

// The manager dies with a request in its hands and comes back: the request is made again with the same id.
func TestManagerThatGoesAwayAndComesBack(t *testing.T) {
	taken := make(chan string, 2)
	hang := make(chan struct{})
	p := listenManager(t, "", &foreignManager{reserve: func(r *resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error) {
		taken <- r.GetRequestId()
		<-hang
		return nil, errors.New("never sent")
	}})
	d := newDriver(t, p.addr)
	done := make(chan error, 1)
	go func() {
		_, err := d.ReserveNode(t.Context(), "r1", "acc")
		done <- err
	}()
	first := <-taken
	go p.server.Stop() // returns only when its handlers did
	time.Sleep(100 * time.Millisecond)
	close(hang)
	listenManager(t, p.addr, &foreignManager{reserve: func(r *resourcemanagerproto.ReserveNodeRequest) (*resourcemanagerproto.ReserveNodeReply, error) {
		taken <- r.GetRequestId()
		return &resourcemanagerproto.ReserveNodeReply{Node: goodNode()}, nil
	}})
	if err := <-done; err != nil {
		t.Fatalf("ReserveNode after the manager came back: %v", err)
	}
	if second := <-taken; second != first {
		t.Errorf("asked again as %q, want %q", second, first)
	}
}

func TestManagerThatStaysAway(t *testing.T) {
	d := newDriver(t, freeAddress(t))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := d.ReserveNode(ctx, "r", "acc")
	check(t, err, context.DeadlineExceeded, "check that it runs and that this is its address", "connection refused")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	err = d.ReleaseNode(cancelled, "r", &cluster.Node{ID: "n1", Address: "127.0.0.1", Port: 1})
	check(t, err, context.Canceled, `release node "n1"`)
}

func TestReleaseOfAnUnknownNode(t *testing.T) {
	m := &foreignManager{release: func(*resourcemanagerproto.ReleaseNodeRequest) error { return coded(codes.NotFound, "what node?") }}
	d := newDriver(t, listenManager(t, "", m).addr)
	err := d.ReleaseNode(t.Context(), "r", &cluster.Node{ID: "n1", Address: "127.0.0.1", Port: 1})
	check(t, err, cluster.ErrNodeLost, `release node "n1"`, "what node?")
}

func TestCreateContainer(t *testing.T) {
	var asked *nodeservoceproto.CreateContainerRequest
	_, n := listenNode(t, "", &foreignNode{create: func(_ context.Context, r *nodeservoceproto.CreateContainerRequest) (*nodeservoceproto.CreateContainerReply, error) {
		asked = r
		return &nodeservoceproto.CreateContainerReply{ContainerId: "c1"}, nil
	}})
	d := newDriver(t, "127.0.0.1:1")
	f := &cluster.Function{Account: "acc", Name: "fn", Handler: "h", Memory: 128 * cluster.MiB, Timeout: 1500*time.Microsecond + 1}
	id, err := d.CreateContainer(t.Context(), "r1", n, f, cluster.Container{Name: "fn-1", Memory: 512 * cluster.MiB})
	if err != nil || id != "c1" {
		t.Fatalf("CreateContainer = %q, %v", id, err)
	}
	m := asked.GetFunctionMeta()
	if asked.GetRequestId() != "r1" || asked.GetName() != "fn-1" || m.GetFunctionName() != "fn" || m.GetHandler() != "h" ||
		m.GetTimeoutInMs() != 2 || m.GetMemoryInBytes() != 512*cluster.MiB {
		t.Errorf("the node was asked %v; want the container's memory, not the function's, and the timeout rounded up", asked)
	}
}

func TestAnswersOfANode(t *testing.T) {
	for _, tt := range []struct {
		claim    string
		code     codes.Code
		creating error
		removing error
	}{
		{"no room", codes.ResourceExhausted, cluster.ErrOutOfMemory, nil},
		{"unknown", codes.NotFound, cluster.ErrNotFound, cluster.ErrNotFound},
		{"not reachable", codes.Unavailable, cluster.ErrNodeLost, cluster.ErrNodeLost},
		{"too late", codes.DeadlineExceeded, context.DeadlineExceeded, context.DeadlineExceeded},
		{"broken", codes.Internal, nil, nil},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			_, n := listenNode(t, "", &foreignNode{
				create: func(context.Context, *nodeservoceproto.CreateContainerRequest) (*nodeservoceproto.CreateContainerReply, error) {
					return nil, coded(tt.code, "said so")
				},
				remove: func(*nodeservoceproto.RemoveContainerRequest) error { return coded(tt.code, "said so") },
			})
			d := newDriver(t, "127.0.0.1:1")
			_, err := d.CreateContainer(t.Context(), "r", n, &cluster.Function{Name: "fn"}, cluster.Container{Name: "fn-1", Memory: 1})
			check(t, err, tt.creating, `create container "fn-1" of function "fn" at node "node-1"`, "said so")
			err = d.RemoveContainer(t.Context(), "r", n, "c1")
			check(t, err, tt.removing, `remove container "c1" at node "node-1"`, "said so")
		})
	}
}

func TestCreateContainerChecks(t *testing.T) {
	_, n := listenNode(t, "", &foreignNode{create: func(context.Context, *nodeservoceproto.CreateContainerRequest) (*nodeservoceproto.CreateContainerReply, error) {
		return &nodeservoceproto.CreateContainerReply{}, nil
	}})
	d := newDriver(t, "127.0.0.1:1")
	f := &cluster.Function{Name: "fn"}
	_, err := d.CreateContainer(t.Context(), "r", n, f, cluster.Container{Name: "fn-1", Memory: 1})
	check(t, err, nil, "the reply is useless: the container has no id")
	_, err = d.CreateContainer(t.Context(), "r", n, f, cluster.Container{Name: "fn-1"})
	check(t, err, nil, "it needs a name and some memory")
}

func TestStats(t *testing.T) {
	for _, tt := range []struct {
		claim string
		reply *nodeservoceproto.GetStatsReply
		want  cluster.Stats
		err   string
	}{
		{
			claim: "all of it",
			reply: &nodeservoceproto.GetStatsReply{
				NodeStats:          &nodeservoceproto.NodeStats{TotalMemoryInBytes: 4 << 30, MemoryUsageInBytes: 1 << 30, CpuUsagePct: 150.5},
				ContainerStatsList: []*nodeservoceproto.ContainerStats{{ContainerId: "c1", TotalMemoryInBytes: 1 << 27, MemoryUsageInBytes: 1 << 20, CpuUsagePct: 12.5}},
				LiveId:             "l",
				OwnerAccountId:     "acc",
			},
			want: cluster.Stats{
				Node:       cluster.NodeStats{TotalMemory: 4 << 30, UsedMemory: 1 << 30, CPU: 150.5},
				Containers: []cluster.ContainerStats{{ID: "c1", Memory: 1 << 27, UsedMemory: 1 << 20, CPU: 12.5}},
				LiveID:     "l",
				Owner:      "acc",
			},
		},
		{claim: "no list of containers", reply: &nodeservoceproto.GetStatsReply{NodeStats: &nodeservoceproto.NodeStats{TotalMemoryInBytes: 1}},
			want: cluster.Stats{Node: cluster.NodeStats{TotalMemory: 1}}},
		{claim: "nothing", reply: &nodeservoceproto.GetStatsReply{}},
		{claim: "more used than the limit", // limits are not kept everywhere
			reply: &nodeservoceproto.GetStatsReply{NodeStats: &nodeservoceproto.NodeStats{TotalMemoryInBytes: 1, MemoryUsageInBytes: 2}},
			want:  cluster.Stats{Node: cluster.NodeStats{TotalMemory: 1, UsedMemory: 2}}},
		{claim: "negative use", reply: &nodeservoceproto.GetStatsReply{NodeStats: &nodeservoceproto.NodeStats{MemoryUsageInBytes: -1}},
			err: "the node says it uses -1 of 0 bytes"},
		{claim: "no number", reply: &nodeservoceproto.GetStatsReply{NodeStats: &nodeservoceproto.NodeStats{CpuUsagePct: math.NaN()}},
			err: "NaN % of a processor"},
		{claim: "container without an id", reply: &nodeservoceproto.GetStatsReply{ContainerStatsList: []*nodeservoceproto.ContainerStats{{}}},
			err: "it lists a container without an id"},
		{claim: "container with negative memory", reply: &nodeservoceproto.GetStatsReply{ContainerStatsList: []*nodeservoceproto.ContainerStats{
			{ContainerId: "c1", TotalMemoryInBytes: -5}}}, err: `container "c1" is said to use 0 of -5 bytes`},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			_, n := listenNode(t, "", &foreignNode{stats: func() *nodeservoceproto.GetStatsReply { return tt.reply }})
			got, err := newDriver(t, "127.0.0.1:1").Stats(t.Context(), n)
			if tt.err != "" {
				check(t, err, nil, "the reply is useless: ", tt.err)
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Stats = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func emptyStats() *nodeservoceproto.GetStatsReply { return &nodeservoceproto.GetStatsReply{} }

func TestNodeThatDiesAndComesBack(t *testing.T) {
	p, n := listenNode(t, "", &foreignNode{stats: emptyStats})
	d := newDriver(t, "127.0.0.1:1")
	if _, err := d.Stats(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	p.server.Stop()
	for range 3 {
		_, err := d.Stats(t.Context(), n)
		check(t, err, cluster.ErrNodeLost, `get statistics at node "node-1" (`+p.addr+`)`)
	}
	listenNode(t, p.addr, &foreignNode{stats: emptyStats})
	if _, err := d.Stats(t.Context(), n); err != nil {
		t.Errorf("the first call after it came back: %v", err)
	}
}

func TestCallInFlightWhenTheNodeDies(t *testing.T) {
	arrived := make(chan struct{})
	p, n := listenNode(t, "", &foreignNode{create: func(ctx context.Context, _ *nodeservoceproto.CreateContainerRequest) (*nodeservoceproto.CreateContainerReply, error) {
		close(arrived)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	d := newDriver(t, "127.0.0.1:1")
	go func() { <-arrived; p.server.Stop() }()
	_, err := d.CreateContainer(t.Context(), "r", n, &cluster.Function{Name: "fn"}, cluster.Container{Name: "fn-1", Memory: 1})
	check(t, err, cluster.ErrNodeLost)
}

func TestNodeThatNeverAnswers(t *testing.T) {
	p, n := listenNode(t, "", &foreignNode{create: func(ctx context.Context, _ *nodeservoceproto.CreateContainerRequest) (*nodeservoceproto.CreateContainerReply, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, stats: emptyStats})
	d, err := New(Options{Manager: "127.0.0.1:1", Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, err = d.CreateContainer(context.Background(), "r", n, &cluster.Function{Name: "fn"}, cluster.Container{Name: "fn-1", Memory: 1})
	check(t, err, context.DeadlineExceeded)
	if _, err := d.Stats(t.Context(), n); err != nil || p.accepted.Load() != 2 {
		t.Errorf("after a silent call: %v over connection %d, want a second one: the first may lead nowhere", err, p.accepted.Load())
	}
}

func TestOneConnectionPerNodeUntilItsRelease(t *testing.T) {
	m := listenManager(t, "", &foreignManager{})
	p, n := listenNode(t, "", &foreignNode{stats: emptyStats})
	d := newDriver(t, m.addr)
	if p.accepted.Load() != 0 {
		t.Fatal("connected before the first call")
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := d.Stats(t.Context(), n); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p.accepted.Load() != 1 || p.open.Load() != 1 {
		t.Errorf("20 calls at once over %d connections, %d open; want 1", p.accepted.Load(), p.open.Load())
	}
	if err := d.ReleaseNode(t.Context(), "r", n); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); p.open.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection outlived the node's release")
		}
	}
}

func TestClose(t *testing.T) {
	d := newDriver(t, freeAddress(t))
	done := make(chan error, 1)
	go func() {
		_, err := d.ReserveNode(context.Background(), "r", "acc")
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	d.Close()
	check(t, <-done, errClosed)
	_, err := d.Stats(t.Context(), &cluster.Node{ID: "n1", Address: "127.0.0.1", Port: 1})
	check(t, err, errClosed)
	_, err = d.ReserveNode(t.Context(), "r", "acc")
	check(t, err, errClosed)
	d.Close()
}
