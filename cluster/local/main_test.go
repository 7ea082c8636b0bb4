package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
	nodepb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// The test binary is also the program that clusters run: the hidden roles, the
// functions below, and a manager of its own to be killed.
func TestMain(m *testing.M) {
	if code, ok := RunRole(context.Background(), os.Args[1:]); ok {
		os.Exit(code)
	}
	if len(os.Args) > 2 && os.Args[1] == "test" {
		if err := roles[os.Args[2]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each process of a race build takes a second to end
	os.Exit(m.Run())
}

// roles are programs. Most are functions that answer on $PORT.
var roles = map[string]func() error{
	"echo":  func() error { return serve(echo) },
	"world": func() error { return serve(world) },
	"crash": func() error {
		return serve(func(http.ResponseWriter, *http.Request) {
			fmt.Fprintln(os.Stderr, "division by zero in line 3")
			os.Exit(7)
		})
	},
	"refuse": func() error {
		return serve(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not today", http.StatusServiceUnavailable)
		})
	},
	"stubborn": func() error {
		signal.Ignore(syscall.SIGTERM)
		return serve(echo)
	},
	"broken": func() error {
		fmt.Println("loading")
		return fmt.Errorf("no module named 'numpy'")
	},
	"mute": func() error { time.Sleep(time.Hour); return nil },
	// daemon leaves behind a process with another session and another parent, then serves.
	"daemon": func() error {
		if err := start("fork"); err != nil {
			return err
		}
		return serve(echo)
	},
	"fork": func() error { return start("orphan") },
	// ghost is a daemon whose hidden process has nothing in its environment.
	"ghost": func() error {
		cmd := self("test", "orphan")
		cmd.Env = []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		return serve(func(http.ResponseWriter, *http.Request) { os.Exit(0) })
	},
	"orphan":  func() error { time.Sleep(time.Hour); return nil },
	"clash":   func() error { return onceThen(clash, func() error { return serve(echo) }) },
	"robbed":  func() error { return onceThen(robbed, func() error { return serve(echo) }) },
	"manager": managerRole,
	"up":      upRole,
	"child-oom": func() error {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			if err := self("test", "glutton").Run(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	},
	"probe": func() error { return serve(probe) },
	// closer closes its socket when it is called with "close", and lives on.
	"closer": func() error {
		l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
		if err != nil {
			return err
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			if event, _ := io.ReadAll(r.Body); string(event) == "close" {
				l.Close()
			}
		})}
		server.Serve(l)
		select {}
	},
	// leaky takes more and more memory, from when it serves.
	"leaky": func() error {
		go func() {
			for leak := [][]byte{}; ; time.Sleep(time.Millisecond) {
				leak = append(leak, bytes.Repeat([]byte{1}, 1<<20))
			}
		}()
		return serve(echo)
	},
	// flood prints without end, from when it serves.
	"flood": func() error {
		go func() {
			for lines := bytes.Repeat([]byte("all work and no play\n"), 1000); ; {
				os.Stdout.Write(lines)
			}
		}()
		return serve(echo)
	},
	// heavy computes before it listens, as an interpreter does that loads libraries.
	"heavy": func() error {
		if err := compute(context.Background(), 150*time.Millisecond); err != nil {
			return err
		}
		return serve(echo)
	},
	"glutton": func() error { use(600 * cluster.MiB); return nil },
}

func serve(h http.HandlerFunc) error {
	return http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), h)
}

func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Seen-Id", r.Header.Get("X-Request-Id"))
	w.Header().Set("X-Seen-Type", r.Header.Get("Content-Type"))
	io.Copy(w, r.Body)
}

// world tells what a function finds around itself.
func world(w http.ResponseWriter, _ *http.Request) {
	dir, _ := os.Getwd()
	files, _ := filepath.Glob(dir + "/*")
	fds := map[string]string{}
	names, _ := filepath.Glob("/proc/self/fd/*")
	for _, name := range names {
		fds[filepath.Base(name)], _ = os.Readlink(name)
	}
	json.NewEncoder(w).Encode(map[string]any{"env": os.Environ(), "dir": dir, "files": files, "fds": fds})
}

// probe does what it is told, such as "read /etc/passwd" or "kill 17", and says how that went.
func probe(w http.ResponseWriter, r *http.Request) {
	event, _ := io.ReadAll(r.Body)
	do, arg, _ := strings.Cut(string(event), " ")
	pid, _ := strconv.Atoi(arg)
	var err error
	switch do {
	case "read":
		_, err = os.ReadFile(arg)
	case "list":
		_, err = os.ReadDir(arg)
	case "write":
		err = os.WriteFile(arg, []byte("x"), 0o600)
	case "kill":
		err = syscall.Kill(pid, syscall.SIGKILL)
	case "trace":
		err = syscall.PtraceAttach(pid)
	case "raise":
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1 << 15, Max: 1 << 15})
	case "bomb":
		for range 4 {
			go func() {
				for { // also when it fails
					_ = exec.Command("sh", "-c", "sleep 1000 & sleep 1000 & exec sleep 1000").Start()
				}
			}()
		}
	}
	fmt.Fprint(w, err)
}

func self(args ...string) *exec.Cmd {
	return exec.Command(ownProgram, args...)
}

func start(role string) error {
	cmd := self("test", role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// onceThen runs first when $FLAG, a file, is not there yet.
func onceThen(first, then func() error) error {
	if _, err := os.Stat(os.Getenv("FLAG")); err == nil {
		return then()
	}
	if err := os.WriteFile(os.Getenv("FLAG"), []byte(os.Getenv("PORT")), 0o600); err != nil {
		return err
	}
	return first()
}

func clash() error {
	return fmt.Errorf("OSError: [Errno 98] Address already in use")
}

func robbed() error { time.Sleep(time.Hour); return nil }

// managerRole is a manager with the options of $OPTIONS that says where it listens.
func managerRole() error {
	var o ManagerOptions
	if err := json.Unmarshal([]byte(os.Getenv("OPTIONS")), &o); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(Tied(context.Background()), syscall.SIGTERM)
	defer stop()
	m, err := NewManager(o)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return m.Serve(ctx, listener)
}

// upRole starts a manager as a child, as "forewarm up" does, and waits to be killed.
func upRole() error {
	cmd := self("test", "manager")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	release, err := Tie(cmd)
	if err != nil {
		return err
	}
	defer release()
	return cmd.Run()
}

// testFunctions are the roles above as functions.
func testFunctions(env ...string) []catalog.Function {
	var all []catalog.Function
	vars := map[string]string{}
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		vars[k] = v
	}
	for role := range roles {
		all = append(all, catalog.Function{Name: role, Command: []string{ownProgram, "test", role}, Env: vars})
	}
	for _, sample := range []string{"hello", "sleep", "cpu", "memory"} {
		all = append(all, catalog.Function{Name: sample, Sample: sample, Env: vars})
	}
	return all
}

// testLog shows the cluster's log with the test's.
func testLog(t testing.TB) *slog.Logger {
	if _, ok := t.(*testing.B); ok {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// testCluster is a manager in this process, and a client for it.
type testCluster struct {
	testing.TB
	rm     pb.ResourceManagerClient
	folder string
	end    func() // ends the manager and waits for it
}

func newCluster(t testing.TB, o ManagerOptions) *testCluster {
	t.Helper()
	if o.Node.Functions == nil {
		o.Node.Functions = testFunctions()
	}
	o.Node.Folder = openFolder(t)
	o.Logger = testLog(t)
	m, err := NewManager(o)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, listener) }()
	b := &testCluster{TB: t, rm: pb.NewResourceManagerClient(dial(t, listener.Addr().String())), folder: o.Node.Folder}
	ended := false
	b.end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	}
	t.Cleanup(b.end)
	return b
}

// openFolder is a temporary one that every user may use.
func openFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for dir, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o711, dir: 0o777} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// testNode is a client of a node.
type testNode struct {
	testing.TB
	nodepb.NodeServiceClient
	logs forewarmv1.LogsClient
	desc *pb.NodeDesc
}

func (b *testCluster) reserve() *testNode {
	b.Helper()
	reply, err := b.rm.ReserveNode(context.Background(), &pb.ReserveNodeRequest{AccountId: "acc"})
	if err != nil {
		b.Fatal(err)
	}
	return connect(b, reply.Node)
}

func connect(t testing.TB, desc *pb.NodeDesc) *testNode {
	t.Helper()
	conn := dial(t, fmt.Sprintf("%s:%d", desc.Address, desc.NodeServicePort))
	return &testNode{t, nodepb.NewNodeServiceClient(conn), forewarmv1.NewLogsClient(conn), desc}
}

func createRequest(name, function string, mib int64) *nodepb.CreateContainerRequest {
	return &nodepb.CreateContainerRequest{Name: name, FunctionMeta: &nodepb.FunctionMeta{FunctionName: function, MemoryInBytes: mib * cluster.MiB}}
}

func (n *testNode) create(function string, mib int64) string {
	n.Helper()
	reply, err := n.CreateContainer(context.Background(), createRequest(function+randomID(), function, mib))
	if err != nil {
		n.Fatal(err)
	}
	return reply.ContainerId
}

// answer is a streamed answer put together.
type testAnswer struct {
	*nodepb.InvokeFunctionReply_Header
	footer *nodepb.InvokeFunctionReply_Footer
	body   string
}

func (n *testNode) invoke(container, event string, timeout time.Duration) (testAnswer, error) {
	n.Helper()
	stream, err := n.InvokeFunction(context.Background(), &nodepb.InvokeFunctionRequest{
		RequestId: "r-1", ContainerId: container, Event: []byte(event),
		FunctionMeta: &nodepb.FunctionMeta{TimeoutInMs: timeout.Milliseconds()},
	})
	if err != nil {
		return testAnswer{}, err
	}
	var a testAnswer
	var body bytes.Buffer
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			a.body = body.String()
			return a, nil
		}
		if err != nil {
			return a, err
		}
		switch {
		case part.Header != nil:
			a.InvokeFunctionReply_Header = part.Header
		case part.Footer != nil:
			a.footer = part.Footer
		}
		body.Write(part.Body)
	}
}

func (n *testNode) mustInvoke(container, event string) testAnswer {
	n.Helper()
	a, err := n.invoke(container, event, time.Minute)
	if err != nil || a.footer == nil || a.footer.Error != "" || a.StatusCode != "200" {
		n.Fatalf("invoke %s with %q = %+v, %v", container, event, a, err)
	}
	return a
}

func removed(n *testNode, container string) {
	n.Helper()
	if _, err := n.RemoveContainer(context.Background(), &nodepb.RemoveContainerRequest{ContainerId: container}); err != nil {
		n.Fatal(err)
	}
}

// lockedBuffer collects what several write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
