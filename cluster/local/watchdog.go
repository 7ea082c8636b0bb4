package local

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endLimit is how long a node that was asked to end may take on top of its
// containers' grace, and how long killed processes may take to vanish.
const endLimit = 5 * time.Second

// runWatchdog starts a node and ends everything below it when the node ends, when
// its own starter is gone, or when told to. It holds no state that could be lost
// and talks to nobody, so that there is little it could die of.
func runWatchdog() error {
	surviveBrokenPipes()
	keepFilesFromChildren()
	// Not the program's own name, so that "killall -9 forewarm" leaves somebody to clean up.
	_ = os.WriteFile("/proc/self/comm", []byte("fw-watchdog"), 0)
	out := inherited(reportFD, "report")
	orders, spec, err := openOrders()
	if err != nil {
		return err
	}
	if err := rule(spec); err != nil {
		return writeLine(out, report{Error: err.Error(), NoNamespaces: spec.Namespaced})
	}
	node, pid, err := startBelow(spec, out)
	out.Close() // the node alone holds it now, so it ends with the node
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	go reap(pid, gone)
	watch(orders, node, gone, spec.StopGrace+endLimit)
	return sweep(spec, func() []int { return descendants(os.Getpid()) })
}

// rule makes sure that whatever is started below us stays below us.
func rule(spec nodeSpec) error {
	if !spec.Namespaced {
		return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	// As the first process of a PID namespace we are that anyway; but /proc still
	// shows the namespace outside. Ours must not spread to other mount namespaces.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("separate the mounts: %w", err)
	}
	options := ""
	if spec.Isolated {
		options = "hidepid=2" // a container sees its own processes only
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// startBelow starts the node and tells it its spec. It avoids os/exec, whose
// waiting would compete with reap.
func startBelow(spec nodeSpec, out *os.File) (*os.File, int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, 0, err
	}
	args := append(spec.Self[:len(spec.Self):len(spec.Self)], roleNode)
	files := []uintptr{null.Fd(), 1, 2, ordersFD: r.Fd(), reportFD: out.Fd(), lockFD: lockFD}
	if spec.Isolated {
		files = append(files, usersFD)
	}
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{Env: os.Environ(), Files: files})
	r.Close()
	null.Close()
	if err != nil {
		return nil, 0, fmt.Errorf("start %s: %w", args[0], err)
	}
	return w, pid, writeLine(w, spec)
}

// reap takes the exit status of every child, own or adopted, for as long as there are any.
func reap(node int, gone chan<- struct{}) {
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if pid == node {
			close(gone)
		}
		if err != nil { // no children are left, and only the node starts new ones
			return
		}
	}
}

// watch blocks until the node has ended or everything is to be killed. A node
// that is asked to end is given a time limit for it.
func watch(orders orders, node *os.File, gone <-chan struct{}, limit time.Duration) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	orderly, lost := make(chan struct{}), make(chan struct{})
	go func() {
		if orders.wait() {
			close(orderly)
			orders.wait()
		}
		close(lost)
	}()
	select {
	case <-gone:
		return
	case <-lost:
		return
	case <-orderly:
	case <-asked:
	}
	_, _ = node.WriteString(orderStop)
	select {
	case <-gone:
	case <-lost:
	case <-time.After(limit):
	}
}

// sweep kills the processes of a node and removes what they leave on the machine.
func sweep(spec nodeSpec, processes func() []int) error {
	killed := killUntilNone(endLimit, processes)
	removeCgroups(spec.group())
	err := os.RemoveAll(spec.Workdir)
	if !killed {
		return fmt.Errorf("node %s: processes %v do not end", spec.ID, processes())
	}
	return err
}
