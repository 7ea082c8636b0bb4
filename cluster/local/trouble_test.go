package local

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	nodepb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// limited says whether this machine lets us bound memory.
func limited(t *testing.T) bool {
	l, err := newLimits(nodeSpec{NodeOptions: NodeOptions{Memory: cluster.GiB, VCPU: 1}, LiveID: randomID()})
	if err != nil {
		t.Logf("no limits here: %v", err)
		return false
	}
	l.close()
	l.group.remove()
	return true
}

func TestOutOfMemory(t *testing.T) {
	if !limited(t) {
		t.Skip("limits of memory are not enforced here")
	}
	n := newCluster(t, ManagerOptions{}).reserve()
	for _, tt := range []struct{ claim, function, event string }{
		{"the function itself", "memory", `{"mib":600}`},
		{"a process that it started", "child-oom", ``},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			c := n.create(tt.function, 512)
			a, err := n.invoke(c, tt.event, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if a.StatusCode < "500" || a.Handled || !strings.Contains(a.footer.Error, "out of memory: it went beyond its limit of 512 MiB") || string(a.Error) != a.footer.Error {
				t.Errorf("a call beyond the limit = %+v", a)
			}
			waitUntil(t, "the container has gone", func() bool {
				stats, err := n.GetStats(t.Context(), &nodepb.GetStatsRequest{})
				return err == nil && len(stats.ContainerStatsList) == 0
			})
			if a, err := n.invoke(c, "", time.Minute); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "out of memory") {
				t.Errorf("a later call = %+v, %v, want NotFound that says why", a, err)
			}
			if _, err := n.RemoveContainer(t.Context(), &nodepb.RemoveContainerRequest{ContainerId: c}); err != nil {
				t.Errorf("RemoveContainer = %v", err)
			}
		})
	}
	if _, err := n.CreateContainer(t.Context(), createRequest("tiny", "echo", 1)); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("a start in 1 MiB = %v, want out of memory", err)
	}
}

func TestPeakIsPerCall(t *testing.T) {
	for _, noLimits := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoLimits=%v", noLimits), func(t *testing.T) {
			n := newCluster(t, ManagerOptions{Node: NodeOptions{NoLimits: noLimits}}).reserve()
			c := n.create("memory", 512)
			small := n.mustInvoke(c, `{"mib":1}`).MaxMemUsageInBytes
			large := n.mustInvoke(c, `{"mib":100}`).MaxMemUsageInBytes
			again := n.mustInvoke(c, `{"mib":1}`).MaxMemUsageInBytes
			// The race detector needs as much again.
			if large < small+90*cluster.MiB || large > small+250*cluster.MiB || again > large-70*cluster.MiB || small < cluster.MiB {
				t.Errorf("peaks of calls that take 1, 100 and 1 MiB: %d, %d and %d MiB", small/cluster.MiB, large/cluster.MiB, again/cluster.MiB)
			}
		})
	}
}

func TestCPUIsShared(t *testing.T) {
	if !limited(t) {
		t.Skip("limits of CPU are not enforced here")
	}
	n := newCluster(t, ManagerOptions{}).reserve()
	c := n.create("cpu", 256) // 0.1675 of a processor
	begin := time.Now()
	n.mustInvoke(c, `{"ms":100}`)
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("100 ms of CPU at a share of 0.17 took %v, want about 600ms", d)
	}
	var stats *nodepb.GetStatsReply
	for range 2 { // the first begins the measurement
		var err error
		if stats, err = n.GetStats(t.Context(), &nodepb.GetStatsRequest{}); err != nil {
			t.Fatal(err)
		}
		go n.invoke(c, `{"ms":200}`, time.Minute)
		time.Sleep(2 * statsGap)
	}
	if pct := stats.ContainerStatsList[0].CpuUsagePct; pct < 3 || pct > 60 {
		t.Errorf("a container at its share of 17 %% shows %v %%", pct)
	}
	if pct := stats.NodeStats.CpuUsagePct; pct < 3 || pct > 200 {
		t.Errorf("its node shows %v %%", pct)
	}
}

func TestCallsThatFail(t *testing.T) {
	n := newCluster(t, ManagerOptions{}).reserve()
	t.Run("timeout", func(t *testing.T) {
		c := n.create("sleep", 128)
		begin := time.Now()
		a, err := n.invoke(c, `{"ms":60000}`, 100*time.Millisecond)
		if err != nil || a.StatusCode != "504" || a.Handled || a.footer.Error != "timed out after 100ms, which is the timeout of the function" {
			t.Errorf("a call beyond its timeout = %+v, %v", a, err)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
		n.mustInvoke(c, `{"ms":1}`) // the container lives
	})
	t.Run("crash", func(t *testing.T) {
		a, err := n.invoke(n.create("crash", 256), "", time.Minute)
		if err != nil || a.StatusCode != "502" || !strings.Contains(a.footer.Error, "exit status 7; it printed last: division by zero in line 3") ||
			!strings.Contains(a.FunctionLog, "division by zero") {
			t.Errorf("a call that crashes = %+v, %v", a, err)
		}
	})
	t.Run("the function's own error", func(t *testing.T) {
		a, err := n.invoke(n.create("refuse", 256), "", time.Minute)
		if err != nil || a.StatusCode != "503" || !a.Handled || a.footer.Error != "" || a.footer.InvokeException == "" || a.body != "not today\n" {
			t.Errorf("a refused call = %+v, %v", a, err)
		}
	})
	t.Run("removed during the call", func(t *testing.T) {
		c := n.create("sleep", 128)
		go func() {
			time.Sleep(100 * time.Millisecond)
			n.RemoveContainer(context.Background(), &nodepb.RemoveContainerRequest{ContainerId: c})
		}()
		if a, err := n.invoke(c, `{"ms":60000}`, time.Minute); err != nil || !strings.Contains(a.footer.Error, "removed") {
			t.Errorf("the call = %+v, %v", a, err)
		}
	})
}

func TestStartsThatFail(t *testing.T) {
	fns := testFunctions()
	fns = append(fns, fns[0], fns[0])
	fns[len(fns)-1].Name, fns[len(fns)-1].Command = "absent", []string{"no-such-program"}
	fns[len(fns)-2].Name, fns[len(fns)-2].Command = "empty", nil
	n := newCluster(t, ManagerOptions{Node: NodeOptions{Functions: fns, StartLimit: 700 * time.Millisecond}}).reserve()
	for _, tt := range []struct {
		claim, function string
		code            codes.Code
		words           string
	}{
		{"ends with its last words", "broken", codes.Internal, "no module named 'numpy'"},
		{"never listens", "mute", codes.Internal, "does not answer on $PORT"},
		{"program missing", "absent", codes.Internal, `"no-such-program": executable file not found in $PATH: check its command`},
		{"nothing to run", "empty", codes.Internal, "neither a command nor a sample"},
		{"unknown function", "nobody", codes.NotFound, `function "nobody" is unknown to this node: add it to functions.yaml`},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			_, err := n.CreateContainer(t.Context(), createRequest(tt.function, tt.function, 256))
			if status.Code(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.words) {
				t.Errorf("CreateContainer = %v\nwant %v with %q", err, tt.code, tt.words)
			}
		})
	}
	n.create("echo", 4096) // what failed books nothing
}

// Another process takes the port after it was probed: once noisily, so that the
// function fails, and once silently, so that a stranger answers.
func TestPortInUse(t *testing.T) {
	flag := filepath.Join(openFolder(t), "flag")
	n := newCluster(t, ManagerOptions{Node: NodeOptions{Functions: testFunctions("FLAG=" + flag)}}).reserve()
	if a := n.mustInvoke(n.create("clash", 256), "x"); a.body != "x" {
		t.Errorf("after a clash the container answers %q", a.body)
	}
	os.Remove(flag)
	go func() {
		for {
			if port, _ := os.ReadFile(flag); len(port) > 0 {
				thief, err := net.Listen("tcp", "127.0.0.1:"+string(port))
				if err == nil {
					t.Cleanup(func() { thief.Close() })
				}
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if a := n.mustInvoke(n.create("robbed", 256), "x"); a.body != "x" {
		t.Errorf("after a theft the container answers %q", a.body)
	}
}

func TestBadRequests(t *testing.T) {
	b := newCluster(t, ManagerOptions{})
	n := b.reserve()
	c := n.create("echo", 128)
	long := strings.Repeat("x", 100_000)
	create := func(r *nodepb.CreateContainerRequest) func() error {
		return func() error { _, err := n.CreateContainer(t.Context(), r); return err }
	}
	remove := func(id string) func() error {
		return func() error {
			_, err := n.RemoveContainer(t.Context(), &nodepb.RemoveContainerRequest{ContainerId: id})
			return err
		}
	}
	call := func(r *nodepb.InvokeFunctionRequest) func() error {
		return func() error {
			stream, err := n.InvokeFunction(t.Context(), r)
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}
	}
	for _, tt := range []struct {
		claim string
		do    func() error
		code  codes.Code
		words string
	}{
		{"no meta", create(&nodepb.CreateContainerRequest{Name: "a"}), codes.InvalidArgument, "function_meta.function_name is empty: send one; function_meta.memory_in_bytes is 0: send at least 1048576"},
		{"no name", create(createRequest("", "echo", 128)), codes.InvalidArgument, "CreateContainer: name is empty: send one"},
		{"no memory", create(createRequest("a", "echo", 0)), codes.InvalidArgument, "memory_in_bytes is 0: send at least 1048576"},
		{"negative memory", create(createRequest("a", "echo", -1)), codes.InvalidArgument, "memory_in_bytes is -1048576"},
		{"more than a node", create(createRequest("a", "echo", 4097)), codes.InvalidArgument, "memory_in_bytes is 4296015872, but the node has 4294967296: ask for less"},
		{"absurd memory", create(createRequest("a", "echo", 1<<42)), codes.InvalidArgument, "but the node has"},
		{"long name", create(createRequest(long, "echo", 128)), codes.InvalidArgument, "name is 100000 bytes long: send at most 1024"},
		{"name with a line break", create(createRequest("a\nb", "echo", 128)), codes.InvalidArgument, `name holds the control character '\n'`},
		{"negative timeout", create(&nodepb.CreateContainerRequest{Name: "a", FunctionMeta: &nodepb.FunctionMeta{FunctionName: "echo", MemoryInBytes: cluster.GiB, TimeoutInMs: -5}}), codes.InvalidArgument, "timeout_in_ms is -5: send at least 0"},
		{"remove nothing", remove(""), codes.InvalidArgument, "container_id is empty"},
		{"remove a stranger", remove("abc"), codes.NotFound, `container "abc" is unknown to node ` + n.desc.Id + ": it was removed, or is on another node"},
		{"call a stranger", call(&nodepb.InvokeFunctionRequest{ContainerId: "abc"}), codes.NotFound, `container "abc" is unknown`},
		{"call with a long request id", call(&nodepb.InvokeFunctionRequest{RequestId: long, ContainerId: c}), codes.InvalidArgument, "request_id is 100000 bytes long"},
		{"call another function", call(&nodepb.InvokeFunctionRequest{ContainerId: c, FunctionMeta: &nodepb.FunctionMeta{FunctionName: "hello"}}), codes.InvalidArgument, `runs "echo"`},
		{"reserve with a long id", func() error {
			_, err := b.rm.ReserveNode(t.Context(), &pb.ReserveNodeRequest{RequestId: long})
			return err
		}, codes.InvalidArgument, "ReserveNode: request_id is 100000 bytes long: send at most 1024"},
		{"release nothing", func() error {
			_, err := b.rm.ReleaseNode(t.Context(), &pb.ReleaseNodeRequest{})
			return err
		}, codes.InvalidArgument, "ReleaseNode: id is empty"},
		{"release a stranger", func() error {
			_, err := b.rm.ReleaseNode(t.Context(), &pb.ReleaseNodeRequest{Id: "node-0"})
			return err
		}, codes.NotFound, `node "node-0" is unknown: `},
	} {
		if err := tt.do(); status.Code(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.words) {
			t.Errorf("%s: got %v\nwant %v with %q", tt.claim, err, tt.code, tt.words)
		}
	}
	if a := n.mustInvoke(c, "still here"); a.body != "still here" {
		t.Errorf("after all that, echo answers %q", a.body)
	}
}

func TestBadOptions(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tt := range []struct {
		claim string
		o     ManagerOptions
		words string
	}{
		{"cap below the first nodes", ManagerOptions{Available: 5, Cap: 3}, "5 nodes at first and 3 at most"},
		{"negative refill", ManagerOptions{Refill: -1}, "want a duration above zero"},
		{"address in use", ManagerOptions{Listen: busy.Addr().String()}, "address already in use: choose another address"},
		{"host name", ManagerOptions{Node: NodeOptions{Listen: "localhost:0"}}, "want one, such as 127.0.0.1:0"},
		{"every address", ManagerOptions{Node: NodeOptions{Listen: "0.0.0.0:0"}}, "say which one schedulers are told"},
		{"users of the system", ManagerOptions{Node: NodeOptions{UIDBase: 500}}, "users from 500 on: want 1000 to"},
		{"too few processes", ManagerOptions{Node: NodeOptions{Processes: 1}}, "1 processes in a container"},
		{"too few files", ManagerOptions{Node: NodeOptions{Files: 10}}, "10 open files: want 1024 or more"},
		{"sells what it has not", ManagerOptions{Node: NodeOptions{Sold: 5 * cluster.GiB}}, "not to sell more than there is"},
	} {
		tt.o.Logger = testLog(t)
		if err := RunManager(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: RunManager = %v, want an error with %q", tt.claim, err, tt.words)
		}
	}
	o := NodeOptions{Listen: busy.Addr().String(), Logger: testLog(t), Folder: openFolder(t)}
	if err := RunNode(t.Context(), o); err == nil || !strings.Contains(err.Error(), "address already in use: choose another address") {
		t.Errorf("RunNode on a busy address = %v", err)
	}
}

func waitUntil(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10s until %s", what)
		}
	}
}
