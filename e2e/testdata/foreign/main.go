// Command foreign is somebody else's cluster: a resource manager and its nodes in one process, which knows the
// contract from its table alone. Every message is taken apart and put together by hand, so that nothing of ours,
// generated code least of all, can agree with itself by accident.
//
// It behaves as such clusters do: now and then there is no node (code 8), GetStats lists no containers, container
// ids are 64 hex digits, a start takes its time. On SIGUSR1 the manager goes away for a while and the nodes stay.
// On SIGTERM it says in one line of JSON what it saw.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	c := newCluster()
	listen := flag.String("listen", "127.0.0.1:0", "host:port of the manager")
	away := flag.Duration("away", 3*time.Second, "how long the manager is gone after SIGUSR1")
	flag.IntVar(&c.cap, "cap", 10, "nodes that there are")
	flag.Int64Var(&c.memory, "memory", 3<<30, "bytes that a node sells")
	flag.IntVar(&c.refuse, "refuse", 3, "every so many reservations there is no node; 0: never")
	flag.DurationVar(&c.start, "start", 500*time.Millisecond, "how long a container takes to start")
	flag.Parse()

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	if err := run(c, *listen, *away, signals); err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
}

func run(c *cluster, addr string, away time.Duration, signals <-chan os.Signal) error {
	for {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		addr = l.Addr().String() // where it comes back
		server := serve(l, c.manager)
		fmt.Fprintln(os.Stderr, "foreign: manager serves", addr)
		switch <-signals {
		case syscall.SIGTERM:
			server.Stop()
			return json.NewEncoder(os.Stdout).Encode(c.summary())
		case syscall.SIGUSR1:
			server.Stop()
			fmt.Fprintln(os.Stderr, "foreign: manager is away for", away)
			time.Sleep(away)
		}
	}
}
