package local

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
	pb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// runNode is the process of a node, below its watchdog.
func runNode() error {
	surviveBrokenPipes()
	keepFilesFromChildren()
	out := inherited(reportFD, "report")
	orders, spec, err := openOrders()
	if err != nil {
		return err
	}
	var containers *users
	if spec.Isolated {
		containers = newUsers(inherited(usersFD, "users"), spec.UIDBase)
	}
	if !spec.NoIsolation {
		if err := boundOwn(spec); err != nil {
			return writeLine(out, report{Error: err.Error()})
		}
	}
	listener, err := net.Listen("tcp", spec.Listen)
	if err != nil {
		return writeLine(out, report{Error: fmt.Sprintf("listen on %s: %v: choose another address", spec.Listen, err)})
	}
	n := newNode(spec, containers, childLogger())
	server := newServer()
	pb.RegisterNodeServiceServer(server, &nodeService{node: n})
	forewarmv1.RegisterLogsServer(server, &logsService{node: n})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := writeLine(out, report{Port: listener.Addr().(*net.TCPAddr).Port}); err != nil {
		return err
	}
	out.Close()
	err = n.untilEnd(orders, failed)
	go server.Stop() // breaks the calls, some of which wait for what close does
	n.close()
	return err
}

// untilEnd blocks until the node shall end in order. It does not come back when
// the watchdog was killed: then everything goes at once.
func (n *node) untilEnd(orders orders, failed <-chan error) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	orderly := make(chan struct{})
	go func() {
		if orders.wait() {
			close(orderly)
			orders.wait()
		}
		os.Exit(n.perish())
	}()
	select {
	case <-orderly:
	case <-asked:
	case err := <-failed:
		return err
	}
	return nil
}

// perish does the watchdog's work when that is gone.
func (n *node) perish() int {
	p := nodeProcess{spec: n.spec}
	if sweep(n.spec, func() []int { return append(p.remains(), descendants(os.Getpid())...) }) != nil {
		return 1
	}
	return 0
}
