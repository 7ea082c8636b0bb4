package local

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	nodepb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// begin starts a call whose stream has to end within 10 seconds.
func (n *testNode) begin(container, event string) nodepb.NodeService_InvokeFunctionClient {
	n.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	n.Cleanup(cancel)
	stream, err := n.InvokeFunction(ctx, &nodepb.InvokeFunctionRequest{ContainerId: container, Event: []byte(event)})
	if err != nil {
		n.Fatal(err)
	}
	return stream
}

// refused makes a call that no function may have seen, and gives its error.
func (n *testNode) refused(container string) error {
	n.Helper()
	stream := n.begin(container, "x")
	_, err := stream.Recv()
	if md, _ := stream.Header(); status.Code(err) != codes.NotFound || md != nil {
		n.Errorf("a call to %s = %v with header %v, want NotFound without one, so that it may go elsewhere", container, err, md)
	}
	return err
}

func (n *testNode) listed() (ids []string) {
	n.Helper()
	stats, err := n.GetStats(context.Background(), &nodepb.GetStatsRequest{})
	if err != nil {
		n.Fatal(err)
	}
	for _, s := range stats.ContainerStatsList {
		ids = append(ids, s.ContainerId)
	}
	return ids
}

// Whoever calls gets the stream's header when the function is about to see the
// call: not later, when it may have run, and not earlier.
func TestCallIsTaken(t *testing.T) {
	b := newCluster(t, ManagerOptions{})
	n := b.reserve()
	c := n.create("sleep", 256)
	stream := n.begin(c, `{"ms":60000}`)
	got := make(chan metadata.MD, 1)
	go func() {
		md, _ := stream.Header()
		got <- md
	}()
	select {
	case md := <-got:
		if md == nil {
			t.Error("a call that runs has no header")
		}
	case <-time.After(3 * time.Second):
		t.Fatal("a call that runs has no header after 3s")
	}
	if err := syscall.Kill(inhabitants(t, b.folder, roleNode)[0].pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if part, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a call whose node died = %v, %v, want Unavailable", part, err)
	}
}

func TestContainerDiesIdle(t *testing.T) {
	visible(t)
	for _, noLimits := range []bool{false, true} {
		b := newCluster(t, ManagerOptions{Node: NodeOptions{NoLimits: noLimits}})
		n := b.reserve()
		c, other := n.create("echo", 3072), n.create("echo", 1024)
		p := inhabitants(t, b.folder, "test echo")[0]
		begin := time.Now()
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "one container is listed", func() bool { return len(n.listed()) == 1 })
		if d := time.Since(begin); d > time.Second {
			t.Errorf("the node noticed only after %v", d)
		}
		if slices.Equal(n.listed(), []string{c}) {
			c, other = other, c
		}
		if err := n.refused(c); !strings.Contains(err.Error(), "its process ended: signal: killed") {
			t.Errorf("a call to a dead container = %v, want it to say why", err)
		}
		n.mustInvoke(other, "x")
		removed(n, c)
		if err := n.refused(c); !strings.Contains(err.Error(), "unknown") {
			t.Errorf("a call to a removed container = %v", err)
		}
	}
}

// A call that comes with the death of its container has been seen, or can go elsewhere; it never hangs.
func TestContainerDiesBusy(t *testing.T) {
	visible(t)
	b := newCluster(t, ManagerOptions{})
	n := b.reserve()
	c := n.create("sleep", 256)
	time.AfterFunc(100*time.Millisecond, func() { kill([]int{inhabitants(t, b.folder, "sample sleep")[0].pid}) })
	a, err := n.invoke(c, `{"ms":60000}`, time.Minute)
	if err != nil || a.StatusCode != "502" || a.Handled || !strings.HasPrefix(a.footer.Error, "its process ended: signal: killed") {
		t.Errorf("a call whose container was killed = %+v, %v", a, err)
	}
	for range 20 {
		c := n.create("echo", 128)
		pid := inhabitants(t, b.folder, "test echo")[0].pid
		go kill([]int{pid})
		switch a, err := n.invoke(c, "x", time.Minute); {
		case status.Code(err) == codes.NotFound:
		case err == nil && (a.body == "x" || strings.HasPrefix(a.footer.Error, "its process ended")):
		default:
			t.Errorf("a call at the moment of death = %+v, %v", a, err)
		}
		removed(n, c)
	}
}

func TestContainerLeaks(t *testing.T) {
	if !limited(t) {
		t.Skip("limits of memory are not enforced here")
	}
	n := newCluster(t, ManagerOptions{}).reserve()
	c := n.create("leaky", 256)
	waitUntil(t, "the leaky one has gone", func() bool { return len(n.listed()) == 0 })
	if err := n.refused(c); !strings.Contains(err.Error(), "out of memory: it went beyond its limit of 256 MiB") {
		t.Errorf("a call to a container that leaked = %v", err)
	}
	removed(n, c)
	n.create("echo", 4096) // nothing of it is booked any more
}

func TestContainerClosesItsSocket(t *testing.T) {
	n := newCluster(t, ManagerOptions{}).reserve()
	c := n.create("closer", 256)
	n.mustInvoke(c, "close")
	if err := n.refused(c); !strings.Contains(err.Error(), "it runs, but takes no connections") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a call to a container that closed its socket = %v", err)
	}
	if !slices.Contains(n.listed(), c) {
		t.Error("a container that runs is not listed")
	}
	removed(n, c)
}

func TestContainerIgnoresTheEnd(t *testing.T) {
	n := newCluster(t, ManagerOptions{}).reserve()
	c := n.create("stubborn", 256)
	begin := time.Now()
	removed(n, c)
	if d, grace := time.Since(begin), 500*time.Millisecond; d < grace || d > grace+time.Second {
		t.Errorf("the end of a container that ignores it took %v, want a little more than %v", d, grace)
	}
}

// A function that prints as fast as it can costs the node little, in memory and in time.
func TestContainerFloods(t *testing.T) {
	b := newCluster(t, ManagerOptions{})
	n := b.reserve()
	other := n.create("echo", 512)
	node := inhabitants(t, b.folder, roleNode)[0].pid
	n.create("flood", 2048)
	time.Sleep(200 * time.Millisecond)
	memory, _ := memoryOf(node)
	cpu, begin := cpuOf(node), time.Now()
	worst := time.Duration(0)
	for time.Since(begin) < time.Second {
		call := time.Now()
		n.mustInvoke(other, "x")
		worst = max(worst, time.Since(call))
		time.Sleep(20 * time.Millisecond)
	}
	later, _ := memoryOf(node)
	share := float64(cpuOf(node)-cpu) / float64(time.Since(begin))
	t.Logf("the node uses %.0f %% of a processor and %d MiB, %+d in a second; the slowest other call took %v",
		100*share, later/cluster.MiB, (later-memory)/cluster.MiB, worst)
	if share > 0.5 || later-memory > 32*cluster.MiB {
		t.Errorf("a flood costs %.0f %% of a processor and %d MiB in a second", 100*share, (later-memory)/cluster.MiB)
	}
}
