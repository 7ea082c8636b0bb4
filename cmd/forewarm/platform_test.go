package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster/local"
)

// selfVar makes the test's own program play forewarm, so that no other has to be built.
const selfVar = "TEST_PLAYS_FOREWARM"

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if code, ok := local.RunRole(ctx, os.Args[1:]); ok { // containers have an environment of their own
		os.Exit(code)
	}
	stop()
	if os.Getenv(selfVar) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program is one that a test started.
type program struct {
	testing.TB
	cmd   *exec.Cmd
	out   output
	ended chan struct{}
}

// output collects what a program prints, while others read it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// forewarm starts the program with temporary files in dir, which its functions' users may enter.
func forewarm(t testing.TB, dir string, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{TB: t, cmd: exec.Command(self, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), selfVar+"=1", "TMPDIR="+dir, "XDG_RUNTIME_DIR=", "RESOURCE_MANAGER_ENDPOINT=", "SERVICE_PORT=", "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its state tells
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%q printed:\n%s", args, p.out.String())
		}
	})
	return p
}

// stop ends the program in order, or else at once, and gives its exit code.
func (p *program) stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		p.Errorf("%q did not end in order", p.cmd.Args)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.cmd.ProcessState.ExitCode()
}

// code waits for a program that ends by itself.
func (p *program) code(limit time.Duration) int {
	p.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.Fatalf("%q did not end within %v: %s", p.cmd.Args, limit, p.out.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) says(what string) {
	p.Helper()
	eventually(p, fmt.Sprintf("%q says %q", p.cmd.Args[1:], what), 20*time.Second, func() bool {
		select {
		case <-p.ended:
			p.Fatalf("%q ended: %s", p.cmd.Args[1:], p.out.String())
		default:
		}
		return strings.Contains(p.out.String(), what)
	})
}

func eventually(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// openDir is a folder in which containers with users of their own find their way.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "forewarm-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freePorts are ports that nobody listens on.
func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}

// invoke calls a function over HTTP.
func invoke(ctx context.Context, gateway, function string) (status int, body string, header http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+gateway+"/function/"+function, nil)
	if err != nil {
		return 0, "", nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), resp.Header, err
}

// load calls functions at an even pace, whether earlier calls have ended or not.
type steady struct {
	calls, failed, cold atomic.Int64
	firstFailure        atomic.Pointer[string]
	stop                func() // ends it and waits for its calls
}

// call begins a load that ends by itself with the limit.
func steadily(t testing.TB, gateway string, every, limit time.Duration, functions ...string) *steady {
	l := &steady{}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			wg.Go(func() { l.one(gateway, functions[i%len(functions)]) })
		}
	})
	l.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(l.stop)
	return l
}

func (l *steady) one(gateway, function string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	status, body, header, err := invoke(ctx, gateway, function)
	l.calls.Add(1)
	if header.Get("X-Forewarm-Start") == "cold" {
		l.cold.Add(1)
	}
	if err != nil || status != http.StatusOK {
		l.failed.Add(1)
		what := fmt.Sprintf("%s: %d %q %v", function, status, body, err)
		l.firstFailure.CompareAndSwap(nil, &what)
	}
}

// none fails the test if a call failed.
func (l *steady) none(t testing.TB) {
	t.Helper()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d calls failed, the first: %s", n, l.calls.Load(), *l.firstFailure.Load())
	}
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
