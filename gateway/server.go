package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster/minifaas/peers"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// Options tunes a Server. Scheduler and Catalog must be given.
type Options struct {
	Scheduler string           // host:port of the scheduler
	Catalog   *catalog.Catalog // functions that may be called at first; see SetCatalog
	Account   string           // on whose behalf, where a call does not say. Default "default".
	MaxBody   int64            // bytes of a call's body, and of an answer's. Default 6 MiB.
	MaxWait   time.Duration    // longest wait for a container. Default 30s.
	NodeIdle  time.Duration    // a connection to a node is closed when unused for so long. Default 1m.
	Seed      uint64           // of the request ids; no two gateways of a scheduler may share one. Default 0: from the machine's randomness.
	Log       *slog.Logger     // for what no caller can be told. Default slog.Default().
}

// withDefaults checks o and fills in what was left out.
func (o Options) withDefaults() (Options, error) {
	host, port, err := net.SplitHostPort(o.Scheduler)
	switch {
	case err != nil || host == "" || port == "":
		return o, fmt.Errorf("gateway: the scheduler's address %q is not host:port, such as 127.0.0.1:10600", o.Scheduler)
	case o.MaxBody < 0 || o.MaxBody > 1<<30:
		return o, fmt.Errorf("gateway: a body of %d bytes is outside 0..1 GiB: leave it at 0 for 6 MiB", o.MaxBody)
	case o.MaxWait < 0:
		return o, fmt.Errorf("gateway: a longest wait of %v is negative: leave it at 0 for 30s", o.MaxWait)
	case o.NodeIdle < 0:
		return o, fmt.Errorf("gateway: node connections idle for %v: leave it at 0 for 1m", o.NodeIdle)
	}
	if o.Account == "" {
		o.Account = "default"
	}
	if err := checkAccount(o.Account); err != nil {
		return o, fmt.Errorf("gateway: default account: %w", err)
	}
	if o.MaxBody == 0 {
		o.MaxBody = 6 << 20
	}
	if o.MaxWait == 0 {
		o.MaxWait = 30 * time.Second
	}
	if o.NodeIdle == 0 {
		o.NodeIdle = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o, nil
}

// Server calls functions. Its methods may be called from several goroutines.
type Server struct {
	opts      Options
	book      atomic.Pointer[book] // functions that may be called now
	ids       *ids
	conn      *grpc.ClientConn // to the scheduler
	scheduler schedulerproto.SchedulerClient
	nodes     *peers.Pool
	linger    time.Duration // see there; a field for the tests, as the next one
	askFor    time.Duration // see there
	grace     time.Duration // past a function's timeout, which its node keeps, until we give up on the node

	stopping context.Context // ends with Close
	stop     context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // calls and our own goroutines; added to under mu or from within one that is counted
}

// New makes a server. It connects when the first call needs it to; the scheduler may come up later.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	functions, err := newBook(o.Catalog)
	if err != nil {
		return nil, err
	}
	conn, err := peers.Dial(o.Scheduler)
	if err != nil {
		return nil, fmt.Errorf("gateway: scheduler at %s: %w", o.Scheduler, err)
	}
	s := &Server{
		opts:      o,
		ids:       newIDs(o.Seed),
		conn:      conn,
		scheduler: schedulerproto.NewSchedulerClient(conn),
		nodes:     peers.New(),
		linger:    linger,
		askFor:    askFor,
		grace:     2 * time.Second,
	}
	s.book.Store(functions)
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.running.Go(s.sweep)
	return s, nil
}

// sweep closes connections to nodes that nobody calls any more, until the server stops.
func (s *Server) sweep() {
	t := time.NewTicker(max(s.opts.NodeIdle/4, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			s.nodes.Sweep(now, s.opts.NodeIdle)
		case <-s.stopping.Done():
			return
		}
	}
}

// begin counts a call in, unless the server stops. Whoever began calls s.running.Done.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// Close ends the calls that still run, returns their containers, which takes some seconds where the scheduler is
// away, and closes all connections. Whoever wants calls to finish shuts the listeners down first.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.running.Wait()
	s.nodes.Close()
	s.conn.Close()
}
