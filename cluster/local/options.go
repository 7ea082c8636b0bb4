package local

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster"
)

// ManagerOptions describes a cluster. The zero value is the contest's, without functions.
type ManagerOptions struct {
	Listen    string        // host:port of the manager's service. Default 127.0.0.1:10400
	Available int           // nodes that can be reserved at first. Default 10
	Cap       int           // most nodes there will ever be. Default 20, or Available if that is more
	Refill    time.Duration // until a reservation makes one further node available, and until a released one is usable again. Default 30s
	Node      NodeOptions   // what every node is like. ID is chosen by the manager
	Logger    *slog.Logger  // one line per change of the world. Default slog.Default
}

func (o ManagerOptions) withDefaults() (ManagerOptions, error) {
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:10400")
	o.Available = cmp.Or(o.Available, 10)
	o.Cap = cmp.Or(o.Cap, max(20, o.Available))
	o.Refill = cmp.Or(o.Refill, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case o.Available < 0 || o.Cap < o.Available:
		return o, fmt.Errorf("manager: %d nodes at first and %d at most: want 1 <= first <= most", o.Available, o.Cap)
	case o.Refill < 0:
		return o, fmt.Errorf("manager: refill after %v: want a duration above zero", o.Refill)
	}
	var err error
	o.Node, err = o.Node.withDefaults()
	return o, err
}

// NodeOptions describes a node. The zero value is the contest's machine, without functions.
type NodeOptions struct {
	ID        string             // what the node is called in logs. Default node-1
	Listen    string             // host:port of the node's service; the host must be an IP, port 0 is a free one. Default 127.0.0.1:0
	Address   string             // IP that schedulers are told. Default that of Listen
	VCPU      float64            // processors. Default 2
	Memory    int64              // bytes that the node has, and that its containers' limits may sum up to. Default 4 GiB
	Sold      int64              // bytes that the manager says it has. Default three quarters of Memory
	Functions []catalog.Function // what containers may be made of. Default none
	Base      string             // folder in which a function's command finds its files, which others must be allowed to read. Default the current one

	Self       []string      // how this program is run, short of the arguments that RunRole takes. Default its own path
	Folder     string        // where working folders are made; others must be allowed to enter it. Default the system's folder for temporary files
	StartLimit time.Duration // until a starting container must answer on its port. Default 30s
	CallLimit  time.Duration // of a call whose function has no timeout. Default 60s
	StopGrace  time.Duration // between asking a container to end and killing it. Default 500ms
	Starts     int           // containers that may compute at once while starting. Default the machine's processors
	LogBytes   int           // kept of what a container prints. Default 64 KiB
	LogEnded   int           // ended containers per function whose output is kept. Default 4

	UIDBase   int // first of the 65536 user and group ids that are for containers only, from 1000. Default 200000
	Processes int // of one container at once, each thread counted. Default 512
	Files     int // that a process of a container may have open, and the node's own too. Default 16384, or what the machine grants

	NoIsolation  bool         // give containers no users of their own and leave them all rights of the node's user, as where there is no root
	NoLimits     bool         // use no cgroups, as where there are none: then limits are not enforced
	NoNamespaces bool         // use no PID namespaces, as where they are not allowed
	Logger       *slog.Logger `json:"-"` // one line per change of the world. Default slog.Default
}

func (o NodeOptions) withDefaults() (NodeOptions, error) {
	o.ID = cmp.Or(o.ID, "node-1")
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	o.VCPU = cmp.Or(o.VCPU, 2)
	o.Memory = cmp.Or(o.Memory, 4*cluster.GiB)
	o.Sold = cmp.Or(o.Sold, o.Memory/4*3)
	o.Folder = cmp.Or(o.Folder, os.TempDir())
	o.StartLimit = cmp.Or(o.StartLimit, 30*time.Second)
	o.CallLimit = cmp.Or(o.CallLimit, time.Minute)
	o.StopGrace = cmp.Or(o.StopGrace, 500*time.Millisecond)
	o.Starts = cmp.Or(o.Starts, runtime.NumCPU())
	o.UIDBase = cmp.Or(o.UIDBase, 200_000)
	o.Processes = cmp.Or(o.Processes, 512)
	o.Files = cmp.Or(o.Files, 1<<14)
	o.LogBytes = cmp.Or(o.LogBytes, 64<<10)
	o.LogEnded = cmp.Or(o.LogEnded, 4)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := o.check(); err != nil {
		return o, fmt.Errorf("node %s: %w", o.ID, err)
	}
	if err := o.makePathsAbsolute(); err != nil {
		return o, err
	}
	if o.NoIsolation || cannotIsolate(o.UIDBase) != nil {
		return o, nil // the log will say so
	}
	if where := barred(o.Folder, 0o001); where != "" {
		return o, fmt.Errorf("node %s: containers have users of their own, who may not enter %s on the way to their folders in %s: let them (chmod o+x), or choose another folder ($TMPDIR)", o.ID, where, o.Folder)
	}
	return o, nil
}

func (o *NodeOptions) check() error {
	host, _, err := net.SplitHostPort(o.Listen)
	switch ip := net.ParseIP(host); {
	case err != nil:
		return fmt.Errorf("listen on %q: %w: want host:port, such as 127.0.0.1:0", o.Listen, err)
	case ip == nil:
		return fmt.Errorf("listen on %q: the contract gives schedulers an IP: want one, such as 127.0.0.1:0", o.Listen)
	case ip.IsUnspecified() && o.Address == "":
		return fmt.Errorf("listen on %q, which is every address: say which one schedulers are told", o.Listen)
	case o.Address != "" && net.ParseIP(o.Address) == nil:
		return fmt.Errorf("address %q: want an IP", o.Address)
	case o.VCPU < 0.01 || o.VCPU > 1024:
		return fmt.Errorf("%v processors: want 0.01 to 1024", o.VCPU)
	case o.Memory < catalog.MinMemory || o.Sold < 0 || o.Sold > o.Memory:
		return fmt.Errorf("%d bytes of memory, of which %d are sold: want at least 1 MiB, and not to sell more than there is", o.Memory, o.Sold)
	}
	for _, d := range []time.Duration{o.StartLimit, o.CallLimit, o.StopGrace} {
		if d < 0 {
			return fmt.Errorf("a limit of %v: want start, call and stop limits above zero", d)
		}
	}
	if err := o.checkIsolation(); err != nil {
		return err
	}
	if o.Starts < 0 || o.LogBytes < 0 || o.LogEnded < 0 {
		return errors.New("a negative number of starts, log bytes or ended logs: want them above zero")
	}
	return nil
}

func (o *NodeOptions) checkIsolation() error {
	const most = 1<<31 - userCount // some programs take larger ids for negative ones
	switch {
	case o.UIDBase < 1000 || o.UIDBase > most:
		return fmt.Errorf("users from %d on: want 1000 to %d, since lower ones belong to the system", o.UIDBase, most)
	case o.Processes < 16:
		return fmt.Errorf("%d processes in a container, threads among them: want 16 or more", o.Processes)
	case o.Files < 1024:
		return fmt.Errorf("%d open files: want 1024 or more, since the node has to keep to it too", o.Files)
	}
	return nil
}

// makePathsAbsolute is for the processes below, which need not share our folder.
func (o *NodeOptions) makePathsAbsolute() (err error) {
	if o.Base, err = filepath.Abs(o.Base); err != nil {
		return err
	}
	if o.Folder, err = filepath.Abs(o.Folder); err != nil {
		return err
	}
	if len(o.Self) == 0 {
		path, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program, to run nodes with it: %w", err)
		}
		o.Self = []string{path}
	}
	return nil
}
