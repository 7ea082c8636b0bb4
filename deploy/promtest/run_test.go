package promtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/local"
	"github.com/forewarm/forewarm/cluster/minifaas"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/gateway"
	"github.com/forewarm/forewarm/metrics"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/scheduler"
)

// runKappa is small, so that within half a minute containers are dropped, too.
const runKappa = time.Second

const account = "tests"

// run is a whole platform in this process, with containers as processes: a manager with nodes, a scheduler, a
// gateway, and an admin port that shows what is counted.
type run struct {
	sched   *scheduler.Scheduler
	gate    *gateway.Server
	outside *metrics.Outside
	admin   *httptest.Server

	served sync.Mutex
	calls  map[string]int // by how they were served, as callers were told
}

func startRun(t *testing.T) *run {
	r := &run{outside: metrics.NewOutside(), calls: map[string]int{}}
	c, err := catalog.Parse("functions.yaml", []byte(`functions:
- {name: hello, sample: hello}
- {name: nap, sample: sleep, env: {SLEEP_MS: "150", START_TIME: 300ms}}
- {name: rare, sample: sleep, env: {SLEEP_MS: "20", START_TIME: 100ms}}
`))
	fatal(t, err)
	log := slog.New(slog.DiscardHandler)
	manager, err := local.NewManager(local.ManagerOptions{Available: 3, Cap: 3, Refill: time.Second, Logger: log,
		Node: local.NodeOptions{Functions: c.Functions, Logger: log}})
	fatal(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	background(t, func(ctx context.Context) error { return manager.Serve(ctx, listener) })

	driver, err := minifaas.New(minifaas.Options{Manager: listener.Addr().String()})
	fatal(t, err)
	t.Cleanup(func() { driver.Close() })
	r.sched, err = scheduler.New(scheduler.Options{Listen: "127.0.0.1:0", Admin: "none", Log: log, Drain: 10 * time.Second,
		Shell:   serve.Options{Driver: counted{driver, r.outside}, Core: dispatcher.Options{MaxNodes: 3}, Concurrency: func(string, string) int { return 1 }},
		Planner: prewarm.Options{Kappa: runKappa, Start: 300 * time.Millisecond}})
	fatal(t, err)
	background(t, r.sched.Run)
	r.gate, err = gateway.New(gateway.Options{Scheduler: r.sched.Addr(), Catalog: c, Log: log})
	fatal(t, err)
	t.Cleanup(func() { r.gate.Close() })
	r.openAdmin(t)
	return r
}

// openAdmin shows the run as the scheduler's own admin port does.
func (r *run) openAdmin(t *testing.T) {
	collector, err := metrics.New(metrics.Options{Core: r.sched.Shell.Core(), Now: r.sched.Shell.Now, Planner: metrics.OfController(r.sched.Controller),
		Outside: r.outside, Ready: func() error { return nil }, Version: "v0-test"})
	fatal(t, err)
	registry, err := metrics.NewRegistry(collector)
	fatal(t, err)
	r.admin = httptest.NewServer(r.outside.HTTP(metrics.NewAdmin(metrics.AdminOptions{Registry: registry})))
	t.Cleanup(r.admin.Close)
}

// play calls functions until ctx ends: one all the time, one in bursts of four, which is cold or waits, and one that
// is dropped between its calls. Beside it the state is written, as a scheduler with --state does.
func (r *run) play(t *testing.T, ctx context.Context) {
	file := filepath.Join(t.TempDir(), "state")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		calls.Go(func() { r.call(t, "hello") })
		if i%20 == 0 {
			for range 4 {
				calls.Go(func() { r.call(t, "nap") })
			}
		}
		if i%70 == 0 {
			calls.Go(func() { r.call(t, "rare") })
		}
		if i%10 == 0 {
			began := time.Now()
			err := os.WriteFile(file, []byte("state"), 0o600)
			r.outside.StateWrite(1, time.Since(began), err)
		}
	}
}

// call calls a function and counts as the edge does.
func (r *run) call(t *testing.T, name string) {
	reply, err := r.gate.Invoke(t.Context(), account, name, nil)
	if err != nil || reply.Status != 200 {
		t.Errorf("%s: %v, status %d %s", name, err, reply.Status, reply.Error)
		return
	}
	how := map[string]dispatcher.Served{"waited": dispatcher.Waited, "cold": dispatcher.Cold}[reply.Start]
	r.outside.Waited(how, reply.Wait)
	r.served.Lock()
	defer r.served.Unlock()
	r.calls[reply.Start]++
}

// counted is a driver whose orders and readings are counted, as the shell does it.
type counted struct {
	serve.Driver
	o *metrics.Outside
}

func (c counted) CreateContainer(ctx context.Context, id string, n *cluster.Node, f *cluster.Function, spec cluster.Container) (string, error) {
	began := time.Now()
	got, err := c.Driver.CreateContainer(ctx, id, n, f, spec)
	c.o.Order(dispatcher.StartContainer, time.Since(began), err)
	return got, err
}

func (c counted) RemoveContainer(ctx context.Context, id string, n *cluster.Node, container string) error {
	began := time.Now()
	err := c.Driver.RemoveContainer(ctx, id, n, container)
	c.o.Order(dispatcher.StopContainer, time.Since(began), err)
	return err
}

func (c counted) ReserveNode(ctx context.Context, id, account string) (cluster.Node, error) {
	began := time.Now()
	n, err := c.Driver.ReserveNode(ctx, id, account)
	c.o.Order(dispatcher.ReserveNode, time.Since(began), err)
	return n, err
}

func (c counted) ReleaseNode(ctx context.Context, id string, n *cluster.Node) error {
	began := time.Now()
	err := c.Driver.ReleaseNode(ctx, id, n)
	c.o.Order(dispatcher.ReleaseNode, time.Since(began), err)
	return err
}

func (c counted) Stats(ctx context.Context, n *cluster.Node) (cluster.Stats, error) {
	s, err := c.Driver.Stats(ctx, n)
	if err != nil {
		c.o.Readings(0, 1, 0)
	} else {
		c.o.Readings(1, 0, s.Node.UsedMemory)
	}
	return s, err
}

// background runs until the test ends, and waits for the end.
func background(t *testing.T, serve func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *run) String() string {
	r.served.Lock()
	defer r.served.Unlock()
	return fmt.Sprint(r.calls)
}
