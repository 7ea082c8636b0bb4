package local

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// readyLimit is how long a node may take to start: two small programs.
const readyLimit = 20 * time.Second

// launcher starts nodes.
type launcher struct {
	log *slog.Logger

	mu           sync.Mutex
	noNamespaces bool // found out at the first attempt; guarded by mu
	warned       bool // of missing isolation; guarded by mu
}

// nodeProcess is a node as its starter sees it: a watchdog and what is below it.
type nodeProcess struct {
	spec   nodeSpec
	port   int
	orders *os.File      // closing it ends the node
	held   []*os.File    // the lock of its folder, and perhaps usersFile: as long as somebody would clean up
	ended  chan struct{} // closed when no process of the node is left
	cmd    *exec.Cmd     // the watchdog
}

// start starts a node that is like o and returns when it serves.
func (l *launcher) start(o NodeOptions) (*nodeProcess, error) {
	// Without the rights of root there are PID namespaces only inside a user
	// namespace, which changes what functions may do and is forbidden here and there.
	if !o.NoNamespaces && os.Geteuid() == 0 && !l.namespacesFailed(nil) {
		p, err := l.launch(o, true)
		if !errors.Is(err, errNoNamespaces) {
			return p, err
		}
		l.namespacesFailed(err)
	}
	return l.launch(o, false)
}

var errNoNamespaces = errors.New("no PID namespace")

// namespacesFailed remembers a failure, which will not go away, and says whether there was one.
func (l *launcher) namespacesFailed(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && !l.noNamespaces {
		l.noNamespaces = true
		l.log.Info("PID namespaces are not allowed here: watchdogs hunt for descendants instead", "cause", err)
	}
	return l.noNamespaces
}

// users opens the file of users, or says in the log that containers will have none of their own.
func (l *launcher) users(o NodeOptions) *os.File {
	if o.NoIsolation {
		return nil
	}
	cause := cannotIsolate(o.UIDBase)
	if cause == nil {
		var file *os.File
		if file, cause = openUsers(); cause == nil {
			return file
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.warned {
		l.warned = true
		l.log.Warn("containers run as the same user as their node: functions can reach each other's processes and files", "cause", cause)
	}
	return nil
}

func (l *launcher) launch(o NodeOptions, namespaced bool) (*nodeProcess, error) {
	spec := nodeSpec{NodeOptions: o, LiveID: randomID(), Namespaced: namespaced}
	lock, err := makeFolder(&spec)
	if err != nil {
		return nil, fmt.Errorf("make a folder for node %s: %w", o.ID, err)
	}
	held := []*os.File{lock}
	if users := l.users(o); users != nil {
		spec.Isolated = true
		held = append(held, users)
	}
	p, answer, err := l.spawn(spec, held)
	if err != nil {
		closeAll(held)
		os.RemoveAll(spec.Workdir)
		if namespaced { // if it was for another reason, the next attempt will tell
			err = fmt.Errorf("%w: %w", errNoNamespaces, err)
		}
		return nil, fmt.Errorf("start node %s: %w", o.ID, err)
	}
	defer answer.Close()
	if err := p.await(answer); err != nil {
		p.stop()
		return nil, fmt.Errorf("start node %s: %w", o.ID, err)
	}
	return p, nil
}

// spawn starts a watchdog. The file is where the report will come.
func (l *launcher) spawn(spec nodeSpec, held []*os.File) (*nodeProcess, *os.File, error) {
	var near, far [3]*os.File // orders, report, log: our ends and the watchdog's; all close-on-exec
	for i := range near {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(near[:i], far[:i])
			return nil, nil, err
		}
		near[i], far[i] = r, w
	}
	near[0], far[0] = far[0], near[0] // orders go the other way
	cmd := watchdogCommand(spec)
	cmd.ExtraFiles = append([]*os.File{ordersFD - 3: far[0], reportFD - 3: far[1]}, held...) // lockFD, usersFD
	cmd.Stdout, cmd.Stderr = far[2], far[2]
	if err := cmd.Start(); err != nil {
		closeAll(near[:], far[:])
		return nil, nil, err
	}
	closeAll(far[:])
	p := &nodeProcess{spec: spec, cmd: cmd, held: held, orders: near[0], ended: make(chan struct{})}
	go relay(near[2], l.log.With("node", spec.ID))
	go p.mourn(l.log)
	if err := writeLine(p.orders, spec); err != nil {
		near[1].Close()
		p.stop()
		return nil, nil, err
	}
	return p, near[1], nil
}

func watchdogCommand(spec nodeSpec) *exec.Cmd {
	cmd := exec.Command(spec.Self[0], append(spec.Self[1:len(spec.Self):len(spec.Self)], roleWatchdog)...)
	cmd.Env = append(os.Environ(), folderVar+"="+spec.Workdir)
	// A session of its own: a terminal's Ctrl-C is for the starter, which ends its nodes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if spec.Namespaced {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	}
	return cmd
}

func closeAll(lists ...[]*os.File) {
	for _, list := range lists {
		for _, f := range list {
			f.Close()
		}
	}
}

// await reads the report of a node that starts.
func (p *nodeProcess) await(answer *os.File) error {
	_ = answer.SetReadDeadline(time.Now().Add(readyLimit))
	line, err := bufio.NewReader(answer).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("it ended, or said nothing for %v; see the lines of this node before: %w", readyLimit, err)
	}
	var r report
	switch err := json.Unmarshal(line, &r); {
	case err != nil:
		return err
	case r.NoNamespaces:
		return fmt.Errorf("%w: %s", errNoNamespaces, r.Error)
	case r.Error != "":
		return errors.New(r.Error)
	}
	p.port = r.Port
	return nil
}

// mourn waits for the end of the watchdog and then for that of everything below
// it, which is at once unless the watchdog itself was killed.
func (p *nodeProcess) mourn(log *slog.Logger) {
	defer close(p.ended)
	defer closeAll(p.held, []*os.File{p.orders})
	failure := p.cmd.Wait()
	if err := sweep(p.spec, p.remains); err != nil {
		log.Error("a node left something behind", "node", p.spec.ID, "err", err)
	}
	if failure != nil {
		log.Warn("a watchdog failed", "node", p.spec.ID, "err", failure)
	}
}

// remains lists the processes of the node by what they carry, not by descent: a killed watchdog's children are no longer ours.
func (p *nodeProcess) remains() []int {
	pids := append(below(p.spec.Workdir), groupPIDs(p.spec.group())...)
	return append(pids, ofUsers(owners(p.spec.Workdir)...)...)
}

func (p *nodeProcess) host() string {
	if p.spec.Address != "" {
		return p.spec.Address
	}
	host, _, _ := net.SplitHostPort(p.spec.Listen) // checked with the options
	return host
}

func (p *nodeProcess) address() string {
	return net.JoinHostPort(p.host(), strconv.Itoa(p.port))
}

// stop ends the node in good order and returns when nothing of it is left.
func (p *nodeProcess) stop() {
	_, _ = p.orders.WriteString(orderStop) // fails when it is gone already
	select {
	case <-p.ended:
	case <-time.After(p.spec.StopGrace + 3*endLimit): // the watchdog hangs
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// randomID is 64 random bits: names that must not meet by chance.
func randomID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// RunNode runs a node without a manager until ctx ends, and returns when it and
// its containers have ended.
func RunNode(ctx context.Context, o NodeOptions) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	clearLeftovers(o.Folder, o.Logger)
	l := launcher{log: o.Logger}
	p, err := l.start(o)
	if err != nil {
		return err
	}
	o.Logger.Info("node serves", "node", o.ID, "address", p.address())
	select {
	case <-ctx.Done():
		p.stop()
		return nil
	case <-p.ended:
		return fmt.Errorf("node %s: its process ended", o.ID)
	}
}
