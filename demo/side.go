package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster/local"
	"github.com/forewarm/forewarm/cluster/minifaas"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/gateway"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/scheduler"
)

// side is one of the two clusters: a manager with its nodes, a scheduler, and a gateway that calls it over the
// contract's wire.
type side struct {
	name    string
	sched   *scheduler.Scheduler
	driver  *minifaas.Driver
	gate    *gateway.Server
	tally   *tally
	running sync.WaitGroup // the manager and the scheduler

	endScheduler, endManager context.CancelFunc
	failed                   chan error
}

// demoNodes is what each side may hold: enough that nodes are no obstacle.
const demoNodes = 4

func newSide(name string, policy dispatcher.Model, c *catalog.Catalog, o *Options) (s *side, err error) {
	s = &side{name: name, tally: &tally{learn: o.Learn}, failed: make(chan error, 2)}
	log := o.Log.With("side", name)
	manager, err := local.NewManager(local.ManagerOptions{
		Available: demoNodes, Cap: demoNodes, Refill: time.Second,
		Node: local.NodeOptions{Functions: c.Functions, Logger: log}, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("demo: %s: %w", name, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, s.endManager = context.WithCancel(context.Background())
	s.running.Go(func() { s.report(manager.Serve(ctx, listener)) })
	if err := s.connect(listener.Addr().String(), policy, c, o, log); err != nil {
		s.close()
		return nil, fmt.Errorf("demo: %s: %w", name, err)
	}
	return s, nil
}

// connect starts the scheduler and the gateway over the manager at addr.
func (s *side) connect(addr string, policy dispatcher.Model, c *catalog.Catalog, o *Options, log *slog.Logger) (err error) {
	if s.driver, err = minifaas.New(minifaas.Options{Manager: addr}); err != nil {
		return err
	}
	s.sched, err = scheduler.New(scheduler.Options{
		Listen: "127.0.0.1:0", Admin: "none", Log: log, Drain: 15 * time.Second,
		Shell: serve.Options{Driver: s.driver, Core: dispatcher.Options{MaxNodes: demoNodes},
			Concurrency: func(string, string) int { return 1 }},
		Planner: prewarm.Options{Policy: policy, Kappa: Kappa, Start: 800 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, s.endScheduler = context.WithCancel(context.Background())
	s.running.Go(func() { s.report(s.sched.Run(ctx)) })
	s.gate, err = gateway.New(gateway.Options{Scheduler: s.sched.Addr(), Catalog: c, Log: log})
	return err
}

func (s *side) report(err error) {
	if err != nil {
		s.failed <- fmt.Errorf("demo: %s: %w", s.name, err)
	}
}

// call makes one call and notes what became of it.
func (s *side) call(ctx context.Context, c call, name string) {
	out := outcome{fn: c.fn, at: c.at}
	r, err := s.gate.Invoke(ctx, "demo", name, nil)
	switch {
	case err != nil:
		out.err = err.Error()
	case r.Status != 200:
		out.err = fmt.Sprintf("%s answered %d: %s", name, r.Status, r.Error)
	default:
		out.ok, out.served, out.wait, out.acquire = true, r.Start, r.Wait, r.Acquire
	}
	s.tally.add(out)
}

// close ends the side: calls first, then the scheduler, which gives its nodes back, then the manager.
func (s *side) close() error {
	if s.gate != nil {
		s.gate.Close()
	}
	if s.endScheduler != nil {
		s.endScheduler()
		s.waitScheduler()
	}
	if s.driver != nil {
		s.driver.Close()
	}
	s.endManager()
	s.running.Wait()
	close(s.failed)
	var errs []error
	for err := range s.failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// waitScheduler waits until every container and node is given back, or the drain gives up.
func (s *side) waitScheduler() {
	for range 16 * 50 {
		if s.sched.Shell.Core().Empty() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
