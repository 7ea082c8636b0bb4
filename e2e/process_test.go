package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// markVar is in the environment of everything that a test starts, with a value of its own, so that what is left of
// it can be found, whoever its parent is by then.
const markVar = "E2E_MARK_OF_RUN"

// process is a started program whose output is kept.
type process struct {
	testing.TB
	name   string
	mark   string
	cmd    *exec.Cmd
	stdout buffer
	stderr buffer
	ended  chan struct{}
}

// start starts a program. At the end of the test it and whatever it left is killed, and after a failure its output
// is shown.
func start(t testing.TB, env []string, program string, args ...string) *process {
	t.Helper()
	return startMarked(t, rand.Text(), env, program, args...)
}

// startMarked is start for a program whose functions carry the mark, too: they get an environment of their own.
func startMarked(t testing.TB, mark string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{TB: t, name: filepath.Base(program) + " " + strings.Join(args[:min(1, len(args))], ""), mark: mark,
		cmd: exec.Command(program, args...), ended: make(chan struct{})}
	// The race detector would sleep for a second at the end of every process.
	p.cmd.Env = append(append(clean(os.Environ()), markVar+"="+p.mark, "GORACE=atexit_sleep_ms=0"), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = 5 * time.Second // where children that survived it keep its output open
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		_ = p.cmd.Wait() // its state tells
		close(p.ended)
	}()
	t.Cleanup(p.cleanUp)
	return p
}

// clean takes out of an environment what the contract would have us heed.
func clean(env []string) []string {
	var out []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if name != "RESOURCE_MANAGER_ENDPOINT" && name != "SERVICE_PORT" && name != "HOST_NAME" {
			out = append(out, v)
		}
	}
	return out
}

func (p *process) cleanUp() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	for _, o := range p.all() {
		_ = syscall.Kill(o.pid, syscall.SIGKILL)
	}
	if p.Failed() {
		p.Logf("%s printed:\n%s%s", p.name, p.stdout.String(), p.stderr.String())
	}
}

func (p *process) signal(s os.Signal) {
	p.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.Fatalf("signal %v to %s: %v", s, p.name, err)
	}
}

// wait waits for the end and gives the exit code, -1 for an end by a signal.
func (p *process) wait(limit time.Duration) int {
	p.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.Fatalf("%s did not end within %v", p.name, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends a process in order: it must go with 0.
func (p *process) stop(limit time.Duration) {
	p.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(limit); code != 0 {
		p.Errorf("%s after SIGTERM: exit code %d, want 0", p.name, code)
	}
}

// other is a process that carries a mark.
type other struct {
	pid     int
	command string
}

// all lists the live processes that carry the mark: the process, and whatever came of it.
func (p *process) all() []other {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		p.Fatalf("list processes: %v", err)
	}
	var found []other
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ")) // empty for one that has ended
		if err != nil || !bytes.Contains(env, []byte(p.mark)) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		found = append(found, other{pid, strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))})
	}
	return found
}

// one is the only process whose command line holds a word.
func (p *process) one(word string) other {
	p.Helper()
	var found []other
	for _, o := range p.all() {
		if strings.Contains(o.command+" ", " "+word+" ") {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		p.Fatalf("processes %q of %s: %v, want one", word, p.name, found)
	}
	return found[0]
}

// gone waits until nothing carries the mark any more.
func (p *process) gone(limit time.Duration) {
	p.Helper()
	began := time.Now()
	for {
		left := p.all()
		if len(left) == 0 {
			return
		}
		if time.Since(began) > limit {
			p.Fatalf("%v after the end of %s there are still %v, want none", limit, p.name, left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// run runs a command to its end.
func run(t testing.TB, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := start(t, env, forewarm, args...)
	code = p.wait(20 * time.Second)
	return p.stdout.String(), p.stderr.String(), code
}

// mustRun is run for commands that succeed.
func mustRun(t testing.TB, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, code := run(t, nil, args...)
	if code != 0 {
		t.Fatalf("forewarm %q: exit code %d, want 0; it printed %s%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

// until waits for a condition.
func until(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// says checks a text for pieces that must be in it.
func says(t testing.TB, what, text string, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(text, piece) {
			t.Errorf("%s does not say %q: %q", what, piece, text)
		}
	}
}

// buffer collects what a process prints, while others read it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // handed out to some test; guarded by portsMu
)

// freePort is one that nobody listens on and that no other test was given. It lies below the ports that the kernel
// gives to outgoing connections, which would otherwise take it sooner or later.
func freePort(t testing.TB) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		n, err := rand.Int(rand.Reader, big.NewInt(12_000))
		if err != nil {
			t.Fatal(err)
		}
		port := 20_000 + int(n.Int64())
		l, err := net.Listen("tcp", loopback(port))
		if ports[port] || errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatalf("look for a free port: %v", err)
		}
		l.Close()
		ports[port] = true
		return port
	}
	t.Fatal("no port between 20000 and 32000 is free")
	return 0
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
