// Package scheduler puts the parts of a running scheduler together: the
// dispatcher's shell, the planner and its loop, the contract's port and the admin
// port. The serve command, the platform on one machine and the demo all run it.
package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/config"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/edge"
	"github.com/forewarm/forewarm/history"
	"github.com/forewarm/forewarm/metrics"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/store"
)

// Options tunes a Scheduler. Shell.Driver is required.
type Options struct {
	Listen         string          // of the contract's Scheduler. Default 127.0.0.1:10600; port 0 takes a free one
	Admin          string          // of metrics, health and forewarm.v1. Default 127.0.0.1:10700; "none" for no admin port
	TLS, AdminTLS  edge.TLSFiles   // of the ports; none for plaintext
	Tokens         edge.TokenFiles // of the admin port; none where whoever reaches it may read
	AllowPlaintext bool            // to listen wider than loopback without TLS
	Shell          serve.Options   // Core.Kappa is taken from Planner
	Planner        prewarm.Options
	State          string              // file in which what is ours and what was learnt survive; "" keeps none
	History        string              // file or Prometheus URL to learn from at the start; "" for none
	Push           metrics.PushOptions // of metrics; no URL for none
	Series         int                 // functions with series of their own. Default 200
	Drain          time.Duration       // that running calls get at the end. Default 30 s
	Takeover       bool                // from a scheduler that runs on the same ports and the same State, which is needed then
	Version        string
	Log            *slog.Logger // default: none
	TraceFunction  string       // one function that is followed call by call in Shell.TraceLog. Default: none
}

func (o Options) withDefaults() Options {
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
	return o
}

// Scheduler is one running scheduler.
type Scheduler struct {
	ports
	opts       Options
	log        *slog.Logger
	Shell      *serve.Shell
	Controller *prewarm.Controller
	outside    *metrics.Outside

	patience     context.Context // ends when calls that wait are sent to a new scheduler
	losePatience context.CancelFunc

	closing    atomic.Bool
	recovered  atomic.Bool  // what an earlier run left is on the books
	state      *store.State // nil where none is kept
	leases     *store.Leases
	found      store.Found
	background sync.WaitGroup

	leverMu    sync.Mutex
	levers     levers // guarded by leverMu
	configured atomic.Pointer[config.Config]
	audit      *edge.Audit
}

// New makes a Scheduler that listens and does not serve yet. What an earlier run left is read, and taken over by Run.
func New(o Options) (*Scheduler, error) {
	o = o.withDefaults()
	patience, losePatience := context.WithCancel(context.Background())
	s := &Scheduler{opts: o, log: o.Log, outside: metrics.NewOutside(), patience: patience, losePatience: losePatience,
		levers: levers{config: Config{Mode: o.Planner.Mode}, functions: map[target]Levers{}, accounts: map[string]dispatcher.AccountLimits{}}}
	if err := s.assemble(o); err != nil {
		return nil, errors.Join(err, s.closePorts(), s.closeState())
	}
	return s, nil
}

func (s *Scheduler) assemble(o Options) error {
	err := s.replaceRunning()
	if err != nil {
		return err
	}
	if s.audit, err = edge.NewAudit(auditOptions(o)); err != nil {
		return err
	}
	o.Planner.Epoch = time.Now()
	planner, err := prewarm.New(o.Planner)
	if err != nil {
		return err
	}
	if err := s.openState(planner, &o.Shell); err != nil {
		return err
	}
	o.Shell.Core.Kappa, o.Shell.Log, o.Shell.Watch = o.Planner.Kappa, o.Log, s.outside
	if s.Shell, err = serve.New(o.Shell); err != nil {
		return err
	}
	s.Shell.Trace(o.TraceFunction)
	planner.SetEpoch(s.Shell.At(0))
	s.Controller = prewarm.NewController(planner, s.Shell, s.Shell.Hurry(), o.Log)
	if err := s.learnPast(planner); err != nil {
		return err
	}
	return s.listen()
}

// learnTime bounds how long the start waits for a history.
const learnTime = time.Minute

// learnPast has the planner learn what was before the run. A file that cannot be read is an error; a Prometheus that
// cannot be asked is not: the scheduler then begins as one without a history.
func (s *Scheduler) learnPast(p *prewarm.Planner) error {
	if s.opts.History == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), learnTime)
	defer cancel()
	r, err := history.Feed(ctx, s.opts.History, p, history.Options{Epoch: s.Shell.At(0)})
	switch {
	case err == nil:
		s.log.Info("history learnt", "from", s.opts.History, "what", r.String())
	case strings.Contains(s.opts.History, "://"):
		s.log.Warn("the history could not be learnt; the first day will be one without", "from", s.opts.History, "error", err)
	default:
		return err
	}
	return nil
}

// openState hands what the last run learnt to the planner, and what was its own to the shell.
func (s *Scheduler) openState(p *prewarm.Planner, o *serve.Options) (err error) {
	if s.opts.State == "" {
		return nil
	}
	if s.state, s.found, err = store.Open(s.opts.State, store.Options{Log: s.log, Note: s.outside.StateWrite}); err != nil {
		return err
	}
	if s.found.Moved != "" {
		s.log.Warn("the state file could not be used and was moved aside", "file", s.opts.State, "moved", s.found.Moved, "error", s.found.Why)
	}
	var fresh bool
	if s.leases, fresh, err = store.OpenLeases(s.opts.State + ".leases"); err != nil {
		return err
	}
	for i := range s.found.Containers {
		if fresh { // nothing is known of their leases
			s.found.Containers[i].Slot = -1
		}
	}
	o.Journal, o.Core.Leases = s.state, s.leases.Counts
	n, err := s.state.LoadModels(time.Now(), p.Load)
	if err != nil {
		return err
	}
	s.log.Info("state read", "file", s.opts.State, "functions", n, "nodes", len(s.found.Nodes), "containers", len(s.found.Containers))
	return nil
}

func (s *Scheduler) closeState() error {
	var errs []error
	if s.state != nil {
		errs = append(errs, s.state.Close())
	}
	if s.leases != nil {
		errs = append(errs, s.leases.Close())
	}
	if s.audit != nil {
		errs = append(errs, s.audit.Close())
	}
	s.state, s.leases = nil, nil
	return errors.Join(errs...)
}

// auditOptions keep the audit log beside the state, or without one in memory alone.
func auditOptions(o Options) edge.AuditOptions {
	if o.State == "" {
		return edge.AuditOptions{Log: o.Log}
	}
	return edge.AuditOptions{File: o.State + ".audit", Log: o.Log}
}

func (s *Scheduler) ready() error {
	if s.closing.Load() {
		return errors.New("stopping: no more calls are taken")
	}
	if !s.recovered.Load() {
		return errors.New("taking over what an earlier run left")
	}
	return nil
}

// ErrOrphaned as the cause of a context's end tells Run that the platform around it is gone: nobody waits for the
// calls that run, and there is nobody to give nodes back to.
var ErrOrphaned = errors.New("the process that started this one is gone")

// Run takes over what an earlier run left, and serves until ctx ends. Then it takes no more calls, waits for those
// that run, removes every container and releases every node, saves what was learnt, and returns.
func (s *Scheduler) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.background.Go(func() { _ = s.Shell.Run(inner) }) // returns nil only
	failed := make(chan error, 2)
	s.serveAdminPort(failed)
	s.follow(inner)
	s.takeOver(inner)
	planning, stopPlanning := context.WithCancel(inner)
	planned := make(chan struct{})
	s.background.Go(func() { defer close(planned); _ = s.Controller.Run(planning) }) // returns nil only
	s.background.Go(func() { s.keepLearnt(planning) })
	s.background.Go(func() { _ = s.audit.Run(inner) }) // returns nil only
	s.background.Go(func() { s.pullLevers(planning) })
	s.background.Go(func() { s.push(inner) })
	s.background.Go(func() { failed <- s.grpc.Serve(s.contract) })
	successor := s.successor(inner)
	s.log.Info("scheduler serves", "contract", s.Addr(), "admin", s.AdminAddr(), "policy", s.opts.Planner.Policy.String(), "kappa", s.opts.Planner.Kappa)
	var err error
	var next net.Conn // to one who takes over
	select {
	case <-ctx.Done():
	case err = <-failed:
	case next = <-successor:
	}
	stopPlanning() // who plans would have nodes kept and containers started while they are given back
	<-planned
	if next != nil {
		defer next.Close() // tells it that all is written
		s.handOver()
	} else {
		err = errors.Join(err, s.end(errors.Is(context.Cause(ctx), ErrOrphaned)))
	}
	stop()
	s.background.Wait()
	return errors.Join(err, s.save(), s.closeState())
}

// serveAdminPort comes first: who asks whether the scheduler is ready gets an answer while it is not.
func (s *Scheduler) serveAdminPort(failed chan<- error) {
	if s.admin == nil {
		return
	}
	s.background.Go(func() {
		if err := s.http.Serve(s.admin); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
}

// takeOver brings what an earlier run left into the books, before any call is taken.
func (s *Scheduler) takeOver(ctx context.Context) {
	if len(s.found.Nodes)+len(s.found.Containers) > 0 || s.found.Moved != "" {
		began := time.Now()
		r := s.Shell.Recover(ctx, s.found)
		s.log.Info("taken over from an earlier run", "what", r.String(), "took", time.Since(began).Round(time.Millisecond))
	}
	s.found = store.Found{}
	s.recovered.Store(true)
}

// saveEvery is how often what was learnt is written, so that a killed scheduler has forgotten little.
const saveEvery = 10 * time.Second

func (s *Scheduler) keepLearnt(ctx context.Context) {
	if s.state == nil {
		return
	}
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.save(); err != nil {
				s.log.Error("what was learnt could not be saved; it is tried again", "file", s.opts.State, "error", err)
			}
		}
	}
}

// push sends the metrics on, where that is asked for.
func (s *Scheduler) push(ctx context.Context) {
	if s.opts.Push.URL == "" {
		return
	}
	o := s.opts.Push
	o.Log, o.Write = s.log, metrics.Text(s.exposition, s.log)
	if err := s.outside.Push(ctx, o); err != nil {
		s.log.Error("metrics are not pushed", "url", o.URL, "error", err)
	}
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
	return err
}

// save writes what was learnt. The planner is held up only while its state is copied.
func (s *Scheduler) save() error {
	if s.state == nil {
		return nil
	}
	var models []store.Model
	var err error
	s.Controller.View(func(p *prewarm.Planner) {
		err = p.Save(func(account, name string, state []byte) error {
			models = append(models, store.Model{Account: account, Name: name, State: state})
			return nil
		})
	})
	if err != nil {
		return err
	}
	return s.state.SaveModels(time.Now(), models)
}
