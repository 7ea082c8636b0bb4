// Package scheduler puts the parts of a running scheduler together: the
// dispatcher's shell, the planner and its loop, the contract's port and the admin
// port. The serve command, the platform on one machine and the demo all run it.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/metrics"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/store"
)

// Options tunes a Scheduler. Shell.Driver is required.
type Options struct {
	Listen  string          // of the contract's Scheduler. Default 127.0.0.1:10600; port 0 takes a free one
	Admin   string          // of metrics, health and forewarm.v1. Default 127.0.0.1:10700; "none" for no admin port
	Shell   serve.Options   // Core.Kappa is taken from Planner
	Planner prewarm.Options //
	State   string          // file in which the laws survive; "" keeps none
	Drain   time.Duration   // that running calls get at the end. Default 30 s
	Version string
	Log     *slog.Logger       // default: none
	Extra   func(*grpc.Server) // registers more services on the admin port; may be nil
}

// Scheduler is one running scheduler.
type Scheduler struct {
	opts       Options
	log        *slog.Logger
	Shell      *serve.Shell
	Controller *prewarm.Controller

	contract, admin net.Listener
	grpc            *grpc.Server
	health          *health.Server
	http            *http.Server
	closing         atomic.Bool
	state           *store.State // nil where none is kept
}

// New makes a Scheduler that listens and does not serve yet. A port in use is an error that names it.
func New(o Options) (*Scheduler, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:10600"
	}
	if o.Admin == "" {
		o.Admin = "127.0.0.1:10700"
	}
	if o.Drain == 0 {
		o.Drain = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{opts: o, log: o.Log}
	planner, err := prewarm.New(o.Planner)
	if err != nil {
		return nil, err
	}
	if err := s.load(planner); err != nil {
		return nil, err
	}
	o.Shell.Core.Kappa, o.Shell.Log = o.Planner.Kappa, o.Log
	if s.Shell, err = serve.New(o.Shell); err != nil {
		return nil, err
	}
	s.Controller = prewarm.NewController(planner, s.Shell, s.Shell.Hurry(), o.Log)
	return s, s.listen()
}

// load hands what the last run learnt to the planner.
func (s *Scheduler) load(p *prewarm.Planner) error {
	if s.opts.State == "" {
		return nil
	}
	state, found, err := store.Open(s.opts.State, store.Options{Log: s.log})
	if err != nil {
		return err
	}
	s.state = state
	if found.Moved != "" {
		s.log.Warn("the state file could not be used and was moved aside", "file", s.opts.State, "moved", found.Moved, "error", found.Why)
	}
	n, err := state.LoadModels(time.Now(), p.Load)
	if err != nil {
		return err
	}
	s.log.Info("laws loaded", "file", s.opts.State, "functions", n)
	return nil
}

func (s *Scheduler) listen() (err error) {
	if s.contract, err = net.Listen("tcp", s.opts.Listen); err != nil {
		return fmt.Errorf("scheduler: its port: %w; choose another with --port", err)
	}
	s.grpc = grpc.NewServer()
	s.Shell.Register(s.grpc)
	s.health = health.NewServer()
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	if s.opts.Admin == "none" {
		return nil
	}
	if s.admin, err = net.Listen("tcp", s.opts.Admin); err != nil {
		s.contract.Close()
		return fmt.Errorf("scheduler: its admin port: %w; choose another with --admin", err)
	}
	s.http, err = s.adminServer()
	return err
}

// adminServer serves metrics, health, profiles and forewarm.v1 on one port.
func (s *Scheduler) adminServer() (*http.Server, error) {
	g := grpc.NewServer()
	(&console.Service{Shell: s.Shell, Planner: s.Controller}).Register(g)
	reflection.Register(g)
	healthv1.RegisterHealthServer(g, s.health)
	if s.opts.Extra != nil {
		s.opts.Extra(g)
	}
	collector, err := metrics.New(metrics.Options{Core: s.Shell.Core(), Now: s.Shell.Now, Planner: metrics.OfController(s.Controller), Version: s.opts.Version})
	if err != nil {
		return nil, err
	}
	registry, err := metrics.NewRegistry(collector)
	if err != nil {
		return nil, err
	}
	h := metrics.NewAdmin(metrics.AdminOptions{Registry: registry, Ready: s.ready, Log: s.log})
	return metrics.NewServer(s.opts.Admin, metrics.WithGRPC(h, g)), nil
}

func (s *Scheduler) ready() error {
	if s.closing.Load() {
		return errors.New("stopping: no more calls are taken")
	}
	return nil
}

// Addr is where the contract is served, AdminAddr where the admin port is; "" when there is none.
func (s *Scheduler) Addr() string { return s.contract.Addr().String() }

// AdminAddr is where metrics, health and forewarm.v1 are served; "" where they are not.
func (s *Scheduler) AdminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Addr().String()
}

// ErrOrphaned as the cause of a context's end tells Run that the platform around it is gone: nobody waits for the
// calls that run, and there is nobody to give nodes back to.
var ErrOrphaned = errors.New("the process that started this one is gone")

// Run serves until ctx ends. Then it takes no more calls, waits for those that run, removes every container and
// releases every node, saves what was learnt, and returns.
func (s *Scheduler) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	failed := make(chan error, 2)
	wg.Go(func() { _ = s.Shell.Run(inner) }) // returns nil only
	planning, stopPlanning := context.WithCancel(inner)
	planned := make(chan struct{})
	wg.Go(func() { defer close(planned); _ = s.Controller.Run(planning) }) // returns nil only
	wg.Go(func() { failed <- s.grpc.Serve(s.contract) })
	if s.admin != nil {
		wg.Go(func() {
			if err := s.http.Serve(s.admin); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	s.log.Info("scheduler serves", "contract", s.Addr(), "admin", s.AdminAddr(), "policy", s.opts.Planner.Policy.String(), "kappa", s.opts.Planner.Kappa)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopPlanning() // who plans would have nodes kept and containers started while they are given back
	<-planned
	err = errors.Join(err, s.end(errors.Is(context.Cause(ctx), ErrOrphaned)))
	stop()
	wg.Wait()
	return err
}

// leave is what clients that watch the health get to leave by themselves; no call runs then any more.
const leave = 300 * time.Millisecond

// end gives back what is held, while returns are still taken. An orphan only saves what it learnt.
func (s *Scheduler) end(orphan bool) (err error) {
	s.closing.Store(true)
	s.health.Shutdown()
	if !orphan {
		ctx, cancel := context.WithTimeout(context.Background(), s.opts.Drain)
		defer cancel()
		err = s.Shell.Shutdown(ctx)
	}
	impatient := time.AfterFunc(leave, s.grpc.Stop)
	s.grpc.GracefulStop()
	impatient.Stop()
	if s.http != nil {
		_ = s.http.Close() // readers of metrics may be cut off
	}
	return errors.Join(err, s.save())
}

func (s *Scheduler) save() (err error) {
	if s.state == nil {
		return nil
	}
	n := 0
	s.Controller.View(func(p *prewarm.Planner) { n, err = s.state.SaveModels(time.Now(), p.Save) })
	if err == nil {
		s.log.Info("laws saved", "file", s.opts.State, "functions", n)
	}
	return errors.Join(err, s.state.Close())
}
