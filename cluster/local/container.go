package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster"
)

// container is a group of processes that answers for one function.
type container struct {
	id, name string
	function catalog.Function
	memory   int64  // bytes
	user     int    // its own user and group; 0: those of the node
	folder   string // its working folder
	port     int

	fence  fence
	cmd    *exec.Cmd // the first process
	logs   *logbook
	read   sync.WaitGroup // readers of what it prints
	outs   []*os.File     // what they read
	exited chan struct{}  // closed when the first process has ended
	http   *http.Transport
	active atomic.Int32 // calls inside

	doomed atomic.Bool // its end was asked for
	ending sync.Once
	spent  time.Duration // processor time in all, once ended
	buried chan struct{} // closed when the node has taken note of the end
	oom    atomic.Bool   // a process of it was killed for want of memory
	meter  meter         // guarded by the node's measuring
}

// errNoStart wraps the failures that are the function's own.
var errNoStart = errors.New("did not start")

// spawn starts the first process.
func (c *container) spawn(spec nodeSpec) error {
	argv, err := command(spec, c.function)
	if err != nil {
		return err
	}
	if err := c.makeFolder(); err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{outR, outW})
		return err
	}
	defer closeAll([]*os.File{outW, errW})
	c.outs = []*os.File{outR, errR}
	c.cmd = exec.Command(argv[0], argv[1:]...)
	if isOwnProgram(c.cmd.Path) {
		c.cmd.Path = ownProgram
	}
	c.cmd.Dir, c.cmd.Env = c.folder, c.environment()
	c.cmd.Stdout, c.cmd.Stderr = outW, errW
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a group of its own, and no terminal
	start := launch
	if c.user != 0 {
		c.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.user), Gid: uint32(c.user)} // and no further groups
	}
	if spec.NoIsolation {
		start = (*exec.Cmd).Start
	}
	if err := c.fence.start(c.cmd, start); err != nil {
		closeAll(c.outs)
		return fmt.Errorf("function %q: %w: %w: check its command%s", c.function.Name, errNoStart, err, c.barrier())
	}
	for i, r := range c.outs {
		c.read.Go(func() { c.logs.read(r, c.id, c.function.Name, i == 1, c.exited) })
	}
	go func() {
		_ = c.cmd.Wait() // the state says it all
		close(c.exited)
	}()
	return nil
}

// makeFolder makes the working folder with the folder for temporary files in it,
// both for the container's user only.
func (c *container) makeFolder() error {
	for _, dir := range []string{c.folder, c.temporary()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if c.user == 0 {
			continue
		}
		if err := os.Lchown(dir, c.user, c.user); err != nil {
			return err
		}
	}
	return nil
}

func (c *container) temporary() string { return filepath.Join(c.folder, "tmp") }

// ownProgram is this program for those that may not enter the folder where it is, such as root's home.
const ownProgram = "/proc/self/exe"

func isOwnProgram(path string) bool {
	a, errA := os.Stat(path)
	b, errB := os.Stat(ownProgram)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// command is what to run for a function. Its files are found in the base folder,
// since the working folder is a new one.
func command(spec nodeSpec, f catalog.Function) ([]string, error) {
	if f.Sample != "" {
		return append(spec.Self[:len(spec.Self):len(spec.Self)], roleSample, f.Sample), nil
	}
	if len(f.Command) == 0 {
		return nil, fmt.Errorf("function %q has neither a command nor a sample: give it one in functions.yaml", f.Name)
	}
	argv := append([]string(nil), f.Command...)
	for i, arg := range argv {
		path := filepath.Join(spec.Base, arg)
		program := i == 0 && strings.Contains(arg, "/") // without a slash it is one of $PATH
		info, err := os.Stat(path)
		if !filepath.IsAbs(arg) && (program || i > 0 && err == nil && info.Mode().IsRegular()) {
			argv[i] = path
		}
	}
	return argv, nil
}

// environment holds little, so that a function behaves the same wherever the node was started.
func (c *container) environment() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	env := []string{"PATH=" + path}
	for name, value := range c.function.Env {
		env = append(env, name+"="+value)
	}
	return append(env, // the last of a name wins
		"HOME="+c.folder, // also how its processes are found: see below
		"TMPDIR="+c.temporary(),
		"PORT="+strconv.Itoa(c.port),
		"FUNCTION_NAME="+c.function.Name,
		"MEMORY_LIMIT_BYTES="+strconv.FormatInt(c.memory, 10))
}

// awaitReady blocks until the container answers on its port. It calls calm once
// the program waits rather than computes, since others may compute then.
func (c *container) awaitReady(ctx context.Context, limit time.Duration, calm func()) error {
	begin := time.Now()
	var watch meter
	for {
		if c.answers() {
			if c.user != 0 && listensAs(c.user, c.port) || c.user == 0 && listens(c.fence.pids(), c.port) {
				return nil
			}
			return errPortTaken
		}
		elapsed := time.Since(begin)
		if elapsed >= limit {
			return fmt.Errorf("function %q: %w: it does not answer on $PORT (127.0.0.1:%d) within %v%s",
				c.function.Name, errNoStart, c.port, limit, c.quote())
		}
		if _, cpu := c.fence.use(); watch.read(time.Now(), cpu, 10*time.Millisecond) && watch.percent < 20 {
			calm()
		}
		select {
		// To notice it at most 5 % late costs little, whatever it takes.
		case <-time.After(min(20*time.Millisecond, max(time.Millisecond, elapsed/20))):
		case <-ctx.Done():
			return fmt.Errorf("function %q: %w", c.function.Name, context.Cause(ctx))
		case <-c.exited:
			return c.startFailure()
		}
	}
}

func (c *container) answers() bool {
	conn, err := net.DialTimeout("tcp", c.address(), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (c *container) address() string { return "127.0.0.1:" + strconv.Itoa(c.port) }

// startFailure says why a container ended before it answered.
func (c *container) startFailure() error {
	c.drain()
	if c.overrun() {
		return fmt.Errorf("function %q: %w: %w while it started: %d MiB are too little: raise its memory%s",
			c.function.Name, errNoStart, cluster.ErrOutOfMemory, c.memory/cluster.MiB, c.quote())
	}
	said := strings.ToLower(c.logs.words(c.id, 4<<10))
	for _, complaint := range []string{"address already in use", "eaddrinuse", "address in use"} {
		if strings.Contains(said, complaint) {
			return fmt.Errorf("%w (%d)", errPortTaken, c.port)
		}
	}
	return fmt.Errorf("function %q: %w: it ended before it answered on $PORT: %v%s%s",
		c.function.Name, errNoStart, c.cmd.ProcessState, c.quote(), c.barrier())
}

// overrun says whether the container was killed, in part or whole, for want of memory.
func (c *container) overrun() bool {
	if c.fence.overrun() {
		c.oom.Store(true)
	}
	return c.oom.Load() // also when the fence is gone
}

// whyEnded says why a container ended that nobody asked to.
func (c *container) whyEnded() string {
	if c.overrun() {
		return c.memoryNote()
	}
	c.drain()
	return fmt.Sprintf("its process ended: %v%s", c.cmd.ProcessState, c.quote())
}

func (c *container) memoryNote() string {
	return fmt.Sprintf("out of memory: it went beyond its limit of %d MiB: give the function more, or fewer calls at once", c.memory/cluster.MiB)
}

// quote gives the last lines that a container printed, for the end of an error message.
func (c *container) quote() string {
	if words := c.logs.words(c.id, 500); words != "" {
		return "; it printed last: " + words
	}
	return "; it printed nothing"
}

// drain waits for what an ended process still has in its pipes, but not for
// others that hold them open.
func (c *container) drain() {
	done := make(chan struct{})
	go func() {
		c.read.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(100 * time.Millisecond):
	}
}

// stop ends all processes of the container and removes what it leaves; it returns
// when that is done, whoever asked for it first.
func (c *container) stop(grace time.Duration) {
	c.ending.Do(func() {
		if c.cmd != nil && c.cmd.Process != nil {
			c.end(grace)
		}
		c.http.CloseIdleConnections()
		c.overrun() // while it can be seen
		_, c.spent = c.fence.use()
		c.fence.remove()
		_ = os.RemoveAll(c.folder) // what resists goes with the node's folder
	})
}

func (c *container) end(grace time.Duration) {
	if grace > 0 {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM)
		for deadline := time.Now().Add(grace); time.Now().Before(deadline) && !c.empty(); {
			time.Sleep(2 * time.Millisecond)
		}
	}
	c.fence.seal()
	// Descent and group can be left, the fence cannot, or hardly.
	killUntilNone(endLimit, c.fence.pids)
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.exited
	c.drain()
	closeAll(c.outs)
}

func (c *container) empty() bool {
	return c.hasExited() && len(c.fence.pids()) == 0
}

func (c *container) hasExited() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}
