package serve

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/store"
)

// nodes is what the shell asks of a manager.
type nodes interface {
	ReserveNode(ctx context.Context, requestID, account string) (cluster.Node, error)
	ReleaseNode(ctx context.Context, requestID string, n *cluster.Node) error
}

// containers is what it asks of a node.
type containers interface {
	CreateContainer(ctx context.Context, requestID string, n *cluster.Node, f *cluster.Function, c cluster.Container) (id string, err error)
	RemoveContainer(ctx context.Context, requestID string, n *cluster.Node, id string) error
	Stats(ctx context.Context, n *cluster.Node) (cluster.Stats, error)
}

// Driver reaches a cluster. Errors wrap those of package cluster.
type Driver interface {
	nodes
	containers
}

// Options tunes a Shell. Driver is required; the rest has defaults.
type Options struct {
	Core         dispatcher.Options
	Driver       Driver
	Log          *slog.Logger                       // default: none
	Concurrency  func(account, function string) int // requests that one container may hold; 0: as measurements allow. Default: 0 for all
	OrderTimeout time.Duration                      // of one order to the cluster. Default 30 s.
	StatsEvery   time.Duration                      // between readings of each node. Default 1 s.
	Journal      journal                            // where what is ours is written, for a restart. Default: nowhere
	Watch        watch                              // counts orders, waits and readings. Default: nobody
	Records      int                                // orders that are remembered with their reasons. Default 4,096.
	TraceLog     *slog.Logger                       // gets what Trace follows, at debug level. Default: Log
}

// watch is told of what happens around the core.
type watch interface {
	Order(kind dispatcher.OrderKind, took time.Duration, err error)
	Waited(how dispatcher.Served, wait time.Duration)
	Readings(ok, failed int, usedMemory int64)
}

type noWatch struct{}

func (noWatch) Order(dispatcher.OrderKind, time.Duration, error) {}
func (noWatch) Waited(dispatcher.Served, time.Duration)          {}
func (noWatch) Readings(int, int, int64)                         {}

// Shell runs a dispatcher.Core live. Its methods are safe for concurrent use.
type Shell struct {
	core    *dispatcher.Core
	opts    Options
	log     *slog.Logger
	start   time.Time
	records *Records
	waiters sync.Pool // of *waiter
	effects sync.Pool // of *dispatcher.Effects

	wake   chan struct{} // the tick loop should look at NextDue
	hurry  chan struct{} // the planner should read the news
	tickAt atomic.Int64  // when the tick loop wakes next, time since start
	base   context.Context
	end    context.CancelFunc
	asking context.Context // ends when reservations that the manager has not answered are given up
	giveUp context.CancelFunc
	orders sync.WaitGroup
	quiet  quieter
	trace  atomic.Pointer[tracer] // nil while no function is followed

	journal    journal
	watch      watch
	nodesMu    sync.Mutex
	nodes      map[string]store.NodeRecord                 // held, by the manager's name
	held       map[string]map[string]store.ContainerRecord // noted, by node and name
	starts     map[string]int                              // under way, by node
	strayUntil atomic.Int64                                // end of strayTime, time since start; 0: nothing was recovered
	strays     map[string]int                              // readings in which a node listed a container that nobody knows; of pollStats alone
}

// waiter is where a blocked caller gets its grant.
type waiter struct{ ch chan dispatcher.Grant }

// New makes a Shell. Nothing happens until Run.
func New(o Options) (*Shell, error) {
	if o.Driver == nil {
		return nil, fmt.Errorf("serve: no driver: there is no cluster to start containers in")
	}
	if o.Core.NamePrefix == "" {
		o.Core.NamePrefix = "fw-" + runID // a node knows containers by name: those of an earlier run must not be met again
	}
	core, err := dispatcher.New(o.Core)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Concurrency == nil {
		o.Concurrency = func(string, string) int { return 0 }
	}
	if o.OrderTimeout == 0 {
		o.OrderTimeout = 30 * time.Second
	}
	if o.StatsEvery == 0 {
		o.StatsEvery = time.Second
	}
	if o.Records == 0 {
		o.Records = 4096
	}
	if o.Journal == nil {
		o.Journal = noJournal{}
	}
	if o.Watch == nil {
		o.Watch = noWatch{}
	}
	if o.TraceLog == nil {
		o.TraceLog = o.Log
	}
	s := &Shell{journal: o.Journal, watch: o.Watch, nodes: map[string]store.NodeRecord{}, held: map[string]map[string]store.ContainerRecord{}, starts: map[string]int{}, strays: map[string]int{}, core: core, opts: o, log: o.Log, start: time.Now(), records: newRecords(o.Records),
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
	s.base, s.end = context.WithCancel(context.Background())
	s.asking, s.giveUp = context.WithCancel(s.base)
	s.waiters.New = func() any { return &waiter{ch: make(chan dispatcher.Grant, 1)} }
	s.effects.New = func() any { return new(dispatcher.Effects) }
	return s, nil
}

// Now is the time since the start of the run, which the core and the planner reckon by.
func (s *Shell) Now() time.Duration { return time.Since(s.start) }

// At is the wall time of a moment of the run, for people.
func (s *Shell) At(now time.Duration) time.Time { return s.start.Add(now) }

// Core is the state that the shell runs, for readers of it.
func (s *Shell) Core() *dispatcher.Core { return s.core }

// Records are the orders given so far, with their reasons.
func (s *Shell) Records() *Records { return s.records }

// Hurry tells a planner that it should read the news before its round is up.
func (s *Shell) Hurry() <-chan struct{} { return s.hurry }

// Run does what time brings until ctx ends: deadlines, retries, readings of nodes. It leaves the cluster as it
// is; see Shutdown.
func (s *Shell) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.pollStats(ctx) })
	s.tickLoop(ctx)
	wg.Wait()
	s.end()
	s.orders.Wait()
	return nil
}

// longestSleep bounds how late the tick loop notices that the warm path brought a due instant forward. Such
// instants lie further ahead than that: ends of leases and of keep-alives.
const longestSleep = 500 * time.Millisecond

func (s *Shell) tickLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		now := s.Now()
		if s.core.NextDue() <= now {
			s.do(func(now time.Duration, fx *dispatcher.Effects) { s.core.Tick(now, fx) })
		}
		sleep := min(max(s.core.NextDue()-s.Now(), time.Millisecond), longestSleep)
		s.tickAt.Store(int64(s.Now() + sleep))
		timer.Reset(sleep)
	}
}

// do calls the core once and carries out what follows.
func (s *Shell) do(call func(now time.Duration, fx *dispatcher.Effects)) {
	fx := s.effects.Get().(*dispatcher.Effects)
	call(s.Now(), fx)
	s.apply(fx)
}

// apply wakes callers and sends orders on their way, and returns fx to the pool.
func (s *Shell) apply(fx *dispatcher.Effects) {
	for i := range fx.Grants {
		fx.Grants[i].Waiter.(*waiter).ch <- fx.Grants[i] // room for one, and only one grant comes
	}
	trace := s.trace.Load()
	for i := range fx.Orders {
		s.records.add(s.Now(), &fx.Orders[i])
		if trace != nil {
			trace.order(&fx.Orders[i])
		}
		o := fx.Orders[i]
		s.orders.Add(1)
		go func() {
			defer s.orders.Done()
			s.carryOut(o)
		}()
	}
	if fx.Hurry {
		poke(s.hurry)
	}
	fx.Reset()
	s.effects.Put(fx)
	if int64(s.core.NextDue()) < s.tickAt.Load() {
		poke(s.wake)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Acquire blocks until the call has a container, or ctx or the call's patience ends.
func (s *Shell) Acquire(ctx context.Context, r dispatcher.Request) (dispatcher.Lease, error) {
	if t := s.trace.Load(); t != nil && t.function == r.Function.Name {
		return t.acquire(ctx, s, r)
	}
	return s.acquire(ctx, r)
}

func (s *Shell) acquire(ctx context.Context, r dispatcher.Request) (dispatcher.Lease, error) {
	w := s.waiters.Get().(*waiter)
	fx := s.effects.Get().(*dispatcher.Effects)
	now := s.Now()
	r.Waiter = w
	if deadline, ok := ctx.Deadline(); ok {
		r.Deadline = now + time.Until(deadline)
	}
	lease, ticket, err := s.core.Acquire(now, r, fx)
	if err != nil || ticket.Seq == 0 {
		s.waiters.Put(w)
		s.finish(fx)
		return lease, err
	}
	s.apply(fx)
	select {
	case g := <-w.ch:
		s.waiters.Put(w)
		if g.Err == nil {
			s.watch.Waited(g.Lease.Served, g.Lease.Wait)
		}
		if ctx.Err() != nil { // both came at once
			s.refuse(g, r.ID)
			return dispatcher.Lease{}, ctx.Err()
		}
		return g.Lease, g.Err
	case <-ctx.Done():
		return s.abandon(ctx, w, ticket, r.ID)
	}
}

// finish is apply for the warm path, on which as a rule nothing follows.
func (s *Shell) finish(fx *dispatcher.Effects) {
	if len(fx.Grants) == 0 && len(fx.Orders) == 0 {
		if fx.Hurry {
			poke(s.hurry)
			fx.Hurry = false
		}
		s.effects.Put(fx)
		return
	}
	s.apply(fx)
}

// abandon leaves the line for a caller that has gone away. A lease that was on its way is returned at once,
// unless another Acquire of the same request shares it.
func (s *Shell) abandon(ctx context.Context, w *waiter, t dispatcher.Ticket, id string) (dispatcher.Lease, error) {
	var cancelled bool
	s.do(func(now time.Duration, fx *dispatcher.Effects) { cancelled = s.core.Cancel(now, t, fx) })
	if !cancelled {
		s.refuse(<-w.ch, id)
	}
	s.waiters.Put(w)
	return dispatcher.Lease{}, ctx.Err()
}

// refuse returns a grant that nobody is there for.
func (s *Shell) refuse(g dispatcher.Grant, id string) {
	if g.Err == nil && !g.Shared {
		s.do(func(now time.Duration, fx *dispatcher.Effects) {
			_ = s.core.Return(now, dispatcher.Returned{RequestID: id, ContainerID: g.Lease.ContainerID, Unused: true}, fx) // it may have expired
		})
	}
}

// Return ends a lease.
func (s *Shell) Return(r dispatcher.Returned) error {
	fx := s.effects.Get().(*dispatcher.Effects)
	err := s.core.Return(s.Now(), r, fx)
	s.finish(fx)
	if t := s.trace.Load(); t != nil {
		t.returned(r, err)
	}
	return err
}

// News reads what happened since the last reading.
func (s *Shell) News(n *dispatcher.News) time.Duration {
	now := s.Now()
	s.core.News(now, n)
	return now
}

// SetLevel passes a planner's word on.
func (s *Shell) SetLevel(l dispatcher.Level) (err error) {
	if t := s.trace.Load(); t != nil {
		t.level(s, &l)
	}
	s.do(func(now time.Duration, fx *dispatcher.Effects) { err = s.core.SetLevel(now, l, fx) })
	return err
}

// SetNodes passes a planner's word on.
func (s *Shell) SetNodes(t dispatcher.NodeTarget) (err error) {
	s.do(func(now time.Duration, fx *dispatcher.Effects) { err = s.core.SetNodes(now, t, fx) })
	return err
}

// SetLimits bounds a function.
func (s *Shell) SetLimits(fn dispatcher.FnID, l dispatcher.Limits) (err error) {
	s.do(func(now time.Duration, fx *dispatcher.Effects) { err = s.core.SetLimits(now, fn, l, fx) })
	return err
}

// DrainNode takes a node out of use, or with undo into it again, and says how many containers it holds.
func (s *Shell) DrainNode(n dispatcher.NodeID, undo bool) (containers int, err error) {
	s.do(func(now time.Duration, fx *dispatcher.Effects) { containers, err = s.core.DrainNode(now, n, undo, fx) })
	return containers, err
}

// lastAnswer is what a manager gets at the end to answer reservations in, so that their nodes can be given back.
const lastAnswer = 5 * time.Second

// Shutdown takes no more calls, lets those that run finish, removes every container and releases every node. When
// ctx ends it releases those that are left, whatever runs on them, and says so. Run must still be running.
func (s *Shell) Shutdown(ctx context.Context) error {
	s.do(s.core.Shutdown)
	defer time.AfterFunc(lastAnswer, s.giveUp).Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !s.core.Empty() {
		select {
		case <-ctx.Done():
			return s.releaseRest()
		case <-tick.C:
			s.do(func(now time.Duration, fx *dispatcher.Effects) { s.core.Tick(now, fx) })
		}
	}
	return nil
}
