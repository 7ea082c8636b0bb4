package local

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// What a watchdog, and the node below it, inherit.
const (
	ordersFD = 3 // read end: a nodeSpec in one line, then perhaps orderStop; it ends when the starter is gone
	reportFD = 4 // write end: one report in one line
	lockFD   = 5 // the lock of the node's folder; only to be held
	usersFD  = 6 // usersFile, if containers are isolated
)

// orderStop asks for an end in good order. A pipe that ends without it means that somebody was killed.
const orderStop = "stop\n"

// nodeSpec is all that a node is told at its start.
type nodeSpec struct {
	NodeOptions
	LiveID     string // new for each start
	Workdir    string // the node's own folder, removed after its end
	Namespaced bool   // the watchdog is the first process of a PID namespace
	Isolated   bool   // containers have users of their own
}

// group is the name of the node's cgroup.
func (s nodeSpec) group() string { return "forewarm-" + s.LiveID }

// report says how the start of a node went.
type report struct {
	Port         int    // of its service; 0 when it failed
	Error        string // why it failed
	NoNamespaces bool   // it failed for want of a right to namespaces
}

// inherited opens what the starter left open for us, and keeps it from what we start.
func inherited(fd int, name string) *os.File {
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

// keepFilesFromChildren does the same for what strangers left open, such as the shell that the cluster was started from.
func keepFilesFromChildren() {
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) // older kernels than 5.11 cannot
}

// orders reads what the starter says.
type orders struct {
	in *bufio.Reader
}

func openOrders() (orders, nodeSpec, error) {
	o := orders{bufio.NewReader(inherited(ordersFD, "orders"))}
	line, err := o.in.ReadBytes('\n')
	if err != nil {
		return o, nodeSpec{}, errors.New("not started by a cluster: this command is for forewarm's own use")
	}
	var spec nodeSpec
	return o, spec, json.Unmarshal(line, &spec)
}

// wait blocks until the starter wants an end (true) or is gone (false).
func (o orders) wait() bool {
	line, _ := o.in.ReadString('\n')
	return line == orderStop
}

// writeLine sends a value as one line of JSON.
func writeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// surviveBrokenPipes keeps a write to a reader that is gone an error: by default
// it ends the process when it happens on the standard outputs, and a process
// that watches others must outlive whoever reads its log. (Ignoring the signal
// would be inherited by the containers; catching it is not.)
func surviveBrokenPipes() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
}
