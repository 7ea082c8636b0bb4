package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
	nodepb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

func TestLifeCycle(t *testing.T) {
	b := newCluster(t, ManagerOptions{})
	n := b.reserve()
	if n.desc.MemoryInBytes != 3*cluster.GiB {
		t.Errorf("the node sells %d bytes, want 3 GiB", n.desc.MemoryInBytes)
	}
	c := n.create("echo", 256)
	if a := n.mustInvoke(c, `{"a":1}`); a.body != `{"a":1}` || a.Headers["X-Seen-Id"].GetItems()[0] != "r-1" ||
		a.Headers["X-Seen-Type"].GetItems()[0] != "application/json" || a.footer.DurationInNanos <= 0 || a.MaxMemUsageInBytes <= 0 {
		t.Errorf("echo answered %+v", a)
	}
	long := strings.Repeat("long ", 100_000)
	if a := n.mustInvoke(c, long); a.body != long {
		t.Errorf("echo of %d bytes gave %d", len(long), len(a.body))
	}

	stats, err := n.GetStats(t.Context(), &nodepb.GetStatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	s := stats.NodeStats
	if stats.OwnerAccountId != "acc" || stats.LiveId == "" || s.TotalMemoryInBytes != 4*cluster.GiB ||
		s.MemoryUsageInBytes <= 0 || s.AvailableMemoryInBytes+s.MemoryUsageInBytes != s.TotalMemoryInBytes || s.DiskTotalInBytes <= 0 {
		t.Errorf("GetStats = %v", stats)
	}
	if l := stats.ContainerStatsList; len(l) != 1 || l[0].ContainerId != c || l[0].TotalMemoryInBytes != 256*cluster.MiB || l[0].MemoryUsageInBytes <= 0 {
		t.Errorf("GetStats lists %v", l)
	}

	if _, err := n.RemoveContainer(t.Context(), &nodepb.RemoveContainerRequest{ContainerId: c}); err != nil {
		t.Fatal(err)
	}
	if stats, _ := n.GetStats(t.Context(), &nodepb.GetStatsRequest{}); len(stats.ContainerStatsList) != 0 {
		t.Errorf("a removed container is listed: %v", stats.ContainerStatsList)
	}
	n.create("stubborn", 256)
	for range 2 {
		if _, err := b.rm.ReleaseNode(t.Context(), &pb.ReleaseNodeRequest{Id: n.desc.Id}); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(b.folder); len(left) != 0 {
			t.Errorf("a released node left %v", left)
		}
		if pids := below(b.folder); len(pids) != 0 {
			t.Errorf("a released node left processes %v", pids)
		}
	}
	usage, err := b.rm.GetNodesUsage(t.Context(), &pb.GetNodesUsageRequest{})
	if err != nil || len(usage.Nodes) != 1 || usage.Nodes[0].ReservedTimeTimestampMs == 0 || usage.Nodes[0].ReleasedTimeTimestampMs < usage.Nodes[0].ReservedTimeTimestampMs {
		t.Errorf("GetNodesUsage = %v, %v", usage, err)
	}
}

func TestContainerSeesLittle(t *testing.T) {
	n := newCluster(t, ManagerOptions{Node: NodeOptions{Functions: testFunctions("LEVEL=debug", "PORT=1", "HOME=/")}}).reserve()
	var w struct {
		Env   []string
		Dir   string
		Files []string
		FDs   map[string]string
	}
	if err := json.Unmarshal([]byte(n.mustInvoke(n.create("world", 256), "").body), &w); err != nil {
		t.Fatal(err)
	}
	var names []string
	env := map[string]string{}
	for _, e := range w.Env {
		k, v, _ := strings.Cut(e, "=")
		names, env[k] = append(names, k), v
	}
	slices.Sort(names)
	if want := []string{"FUNCTION_NAME", "HOME", "LEVEL", "MEMORY_LIMIT_BYTES", "PATH", "PORT", "TMPDIR"}; !slices.Equal(names, want) {
		t.Errorf("the environment holds %v, want %v", names, want)
	}
	if env["HOME"] != w.Dir || env["TMPDIR"] != w.Dir+"/tmp" || !slices.Equal(w.Files, []string{w.Dir + "/tmp"}) || env["MEMORY_LIMIT_BYTES"] != fmt.Sprint(256*cluster.MiB) || env["PORT"] == "1" {
		t.Errorf("environment %v in folder %s with files %v", env, w.Dir, w.Files)
	}
	for fd, target := range w.FDs {
		if strings.HasPrefix(target, "pipe:") && fd != "1" && fd != "2" {
			t.Errorf("descriptor %s is %s: pipes of the cluster must not reach containers", fd, target)
		}
	}
}

func TestIdempotence(t *testing.T) {
	b := newCluster(t, ManagerOptions{})
	reserve := func(request string) string {
		reply, err := b.rm.ReserveNode(t.Context(), &pb.ReserveNodeRequest{RequestId: request, AccountId: "acc"})
		if err != nil {
			t.Fatal(err)
		}
		return reply.Node.Id
	}
	ids := make(chan string)
	for range 4 {
		go func() { ids <- reserve("one") }()
	}
	first := <-ids
	for range 3 {
		if id := <-ids; id != first {
			t.Errorf("one request_id got nodes %s and %s", first, id)
		}
	}
	if other := reserve("two"); other == first {
		t.Errorf("two request_ids got the same node %s", other)
	}

	usage, _ := b.rm.GetNodesUsage(t.Context(), &pb.GetNodesUsageRequest{})
	n := connect(t, usage.Nodes[0])
	for range 4 {
		go func() {
			reply, err := n.CreateContainer(context.Background(), createRequest("same", "echo", 128))
			if err != nil {
				t.Error(err)
			}
			ids <- reply.GetContainerId()
		}()
	}
	c := <-ids
	for range 3 {
		if id := <-ids; id != c {
			t.Errorf("one name got containers %s and %s", c, id)
		}
	}
	if _, err := n.CreateContainer(t.Context(), createRequest("same", "echo", 256)); status.Code(err) != codes.AlreadyExists {
		t.Errorf("the same name with other memory = %v, want AlreadyExists", err)
	}
	if _, err := n.RemoveContainer(t.Context(), &nodepb.RemoveContainerRequest{ContainerId: c}); err != nil {
		t.Fatal(err)
	}
	if reply, err := n.CreateContainer(t.Context(), createRequest("same", "echo", 256)); err != nil || reply.ContainerId == c {
		t.Errorf("the name of a removed container = %v, %v, want a new one", reply, err)
	}
}

func TestRefill(t *testing.T) {
	const refill = 300 * time.Millisecond
	b := newCluster(t, ManagerOptions{Available: 1, Cap: 2, Refill: refill})
	try := func() (string, error) {
		reply, err := b.rm.ReserveNode(t.Context(), &pb.ReserveNodeRequest{AccountId: "acc"})
		return reply.GetNode().GetId(), err
	}
	begin := time.Now()
	a, err := try()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := try(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "no available node can be reserved") {
		t.Fatalf("the second reservation after %v = %v, want code 8", time.Since(begin), err)
	}
	time.Sleep(refill)
	if _, err := try(); err != nil {
		t.Errorf("after the refill: %v", err)
	}
	time.Sleep(refill)
	if id, err := try(); err == nil {
		t.Errorf("beyond the cap got node %s", id)
	}
	if _, err := b.rm.ReleaseNode(t.Context(), &pb.ReleaseNodeRequest{Id: a}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(refill)
	if id, err := try(); err != nil || id == a {
		t.Errorf("after a release got %q, %v, want a node of another id", id, err)
	}
}

func TestNodeFull(t *testing.T) {
	n := newCluster(t, ManagerOptions{}).reserve()
	c := n.create("echo", 3*1024)
	if _, err := n.CreateContainer(t.Context(), createRequest("second", "echo", 1025)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("more than the node has = %v, want ResourceExhausted", err)
	}
	n.create("echo", 1024) // an exact fit
	if _, err := n.RemoveContainer(t.Context(), &nodepb.RemoveContainerRequest{ContainerId: c}); err != nil {
		t.Fatal(err)
	}
	n.create("echo", 1024)
}

func TestLogs(t *testing.T) {
	n := newCluster(t, ManagerOptions{}).reserve()
	c := n.create("hello", 128)
	n.mustInvoke(c, "first")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tail, err := n.logs.Tail(ctx, &forewarmv1.TailRequest{Function: "hello", Follow: true, Lines: 1})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		l, err := tail.Recv()
		if err != nil || !strings.Contains(l.Text, want) || l.Container != c || l.Function != "hello" || l.Node != n.desc.Id || l.Stderr || l.At == nil {
			t.Errorf("line = %v, %v, want one with %q", l, err, want)
		}
	}
	next("first")
	n.mustInvoke(c, "second")
	next("second")
	if _, err := n.RemoveContainer(t.Context(), &nodepb.RemoveContainerRequest{ContainerId: c}); err != nil {
		t.Fatal(err)
	}
	after, err := n.logs.Tail(t.Context(), &forewarmv1.TailRequest{Function: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for {
		if _, err := after.Recv(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 3 {
		t.Errorf("%d lines are kept of the removed container, want 3: ready, first, second", count)
	}
}

func TestNodeAlone(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().(*net.TCPAddr)
	free.Close()
	folder := openFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- RunNode(ctx, NodeOptions{Listen: address.String(), Functions: testFunctions(), Folder: folder, Logger: testLog(t)})
	}()
	n := connect(t, &pb.NodeDesc{Address: "127.0.0.1", NodeServicePort: int64(address.Port)})
	waitUntil(t, "the node serves", func() bool {
		_, err := n.GetStats(t.Context(), &nodepb.GetStatsRequest{})
		return err == nil
	})
	if a := n.mustInvoke(n.create("echo", 128), "alone"); a.body != "alone" {
		t.Errorf("echo answers %q", a.body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("RunNode = %v", err)
	}
	if left, _ := os.ReadDir(folder); len(left)+len(below(folder)) != 0 {
		t.Errorf("the node left files %v and processes %v", left, below(folder))
	}
}
