package dispatcher

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// Options tunes a Core. The zero value is ready to use.
type Options struct {
	MaxNodes   int           // nodes held or being reserved at most. Default 20.
	NodeMemory int64         // bytes that a node is expected to sell before the first was seen. Default 3 GiB.
	MaxWait    time.Duration // of a call without a deadline. Default 30 s.
	MaxLine    int           // calls of one function that may wait. Default 10,000.
	Patience   time.Duration // that a line may take to drain; past it others give memory up for it, and in the end a node is reserved. Default 2 s.
	Grace      time.Duration // after a function's timeout, before a lease that was not returned ends. Default 10 s.
	Kappa      time.Duration // price of a cold start in idle container-time; sets the keep-alive without a planner. Default 60 s.
	Silence    time.Duration // of the planner, after which the core keeps alive by itself. Default 2 s.
	KeepSpare  bool          // an idle container that no level wants stays for its keep-alive while its node stays: for clusters that charge by node.
	NodeIdle   time.Duration // an empty node is kept so long when no planner speaks of nodes. Default 30 s.
	RetryMin   time.Duration // first pause after a failed order; doubles. Default 100 ms.
	RetryMax   time.Duration // longest pause after failed orders. Default 5 s.
	Leases     []uint32      // in which the number of each container's leases is kept, by Slot, for a restart. Default: none
	NamePrefix string        // of container names, to tell runs apart. Default "fw".
}

// PricedByNode is for clusters that charge for nodes and not for containers, as the contest of 2020 does: memory on
// a node that is held is free, and a further node must be worth its time. Most of the longest wait is left when a
// line has used up its patience.
func PricedByNode() Options {
	return Options{KeepSpare: true, Patience: 12 * time.Second}
}

func (o Options) withDefaults() (Options, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.MaxWait, 30*time.Second)
	def(&o.Patience, 2*time.Second)
	def(&o.Grace, 10*time.Second)
	def(&o.Kappa, time.Minute)
	def(&o.Silence, 2*time.Second)
	def(&o.NodeIdle, 30*time.Second)
	def(&o.RetryMin, 100*time.Millisecond)
	def(&o.RetryMax, 5*time.Second)
	if o.MaxNodes == 0 {
		o.MaxNodes = 20
	}
	if o.NodeMemory == 0 {
		o.NodeMemory = 3 * cluster.GiB
	}
	if o.MaxLine == 0 {
		o.MaxLine = 10_000
	}
	if o.NamePrefix == "" {
		o.NamePrefix = "fw"
	}
	for name, d := range map[string]time.Duration{"MaxWait": o.MaxWait, "Patience": o.Patience, "Grace": o.Grace, "Kappa": o.Kappa,
		"Silence": o.Silence, "NodeIdle": o.NodeIdle, "RetryMin": o.RetryMin, "RetryMax": o.RetryMax} {
		if d < 0 {
			return o, fmt.Errorf("dispatcher: %s is %v, it must not be negative", name, d)
		}
	}
	if o.MaxNodes < 0 || o.MaxLine < 0 || o.NodeMemory < 0 {
		return o, fmt.Errorf("dispatcher: MaxNodes %d, MaxLine %d and NodeMemory %d must not be negative", o.MaxNodes, o.MaxLine, o.NodeMemory)
	}
	return o, nil
}

// Core is the state of a scheduler. See the package's documentation.
type Core struct {
	opts   Options
	seed   maphash.Seed
	ledger *ledger

	functions [64]functionShard  // by account and name
	index     [64]containerShard // by the node's name of a container
	fnMu      sync.RWMutex
	fns       []*function // by FnID

	slotCounts []uint32 // Options.Leases
	orders     orderBook
	news       newsList
	due        dueHeap
	closing    atomic.Bool  // after Shutdown
	plannerAt  atomic.Int64 // when a planner last read the news, time since the start of the run

	starts struct { // of all functions, for those that have none of their own
		sync.Mutex
		hist
	}
}

type functionKey struct{ account, name string }

type functionShard struct {
	sync.RWMutex
	m map[functionKey]*function
}

type containerShard struct {
	sync.RWMutex
	m map[string]*container
}

// New makes a Core with no functions and no nodes.
func New(opts Options) (*Core, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Core{opts: opts, seed: maphash.MakeSeed()}
	c.ledger, c.slotCounts = newLedger(opts), opts.Leases
	c.plannerAt.Store(int64(-time.Hour)) // none has spoken
	for i := range c.functions {
		c.functions[i].m = map[functionKey]*function{}
		c.index[i].m = map[string]*container{}
	}
	c.orders.m = map[uint64]orderRef{}
	return c, nil
}

func (c *Core) shard(s string) uint64 { return maphash.String(c.seed, s) % 64 }

// lookup finds the function of a request, or makes it.
func (c *Core) lookup(r *Request) *function {
	key := functionKey{r.Function.Account, r.Function.Name}
	s := &c.functions[c.shard(r.Function.Name)]
	s.RLock()
	f := s.m[key]
	s.RUnlock()
	if f != nil {
		return f
	}
	s.Lock()
	defer s.Unlock()
	if f = s.m[key]; f == nil {
		f = c.newFunction(r)
		s.m[key] = f
	}
	return f
}

func (c *Core) newFunction(r *Request) *function {
	cfg := r.Function
	f := &function{core: c, account: cfg.Account, tenant: c.ledger.tenant(cfg.Account), cfg: &cfg, calls: map[string]*call{}, dueAt: never}
	f.share.limit = r.Concurrency
	f.share.refresh(cfg.Memory)
	c.fnMu.Lock()
	f.id = FnID(len(c.fns))
	c.fns = append(c.fns, f)
	c.fnMu.Unlock()
	return f
}

// fn is the function with this number, nil when there is none.
func (c *Core) fn(id FnID) *function {
	c.fnMu.RLock()
	defer c.fnMu.RUnlock()
	if int(id) >= len(c.fns) {
		return nil
	}
	return c.fns[id]
}

func (c *Core) find(containerID string) *container {
	s := &c.index[c.shard(containerID)]
	s.RLock()
	defer s.RUnlock()
	return s.m[containerID]
}

// name enters a container under the name that its node gave it; false when the name is taken.
func (c *Core) name(ct *container) bool {
	s := &c.index[c.shard(ct.wire)]
	s.Lock()
	defer s.Unlock()
	if s.m[ct.wire] != nil {
		return false
	}
	s.m[ct.wire] = ct
	return true
}

func (c *Core) forget(ct *container) {
	if ct.wire == "" {
		return
	}
	s := &c.index[c.shard(ct.wire)]
	s.Lock()
	defer s.Unlock()
	if s.m[ct.wire] == ct {
		delete(s.m, ct.wire)
	}
}

// orderBook knows what every outstanding order is about.
type orderBook struct {
	sync.Mutex
	last uint64
	m    map[uint64]orderRef
}

type orderRef struct {
	kind OrderKind
	c    *container
	n    *node
}

func (b *orderBook) open(ref orderRef) uint64 {
	b.Lock()
	defer b.Unlock()
	b.last++
	b.m[b.last] = ref
	return b.last
}

// close takes an order out; its kind must be the expected one.
func (b *orderBook) close(id uint64, kind OrderKind) (orderRef, error) {
	b.Lock()
	defer b.Unlock()
	ref, ok := b.m[id]
	if !ok || ref.kind != kind {
		return orderRef{}, fmt.Errorf("%w: %s order %d; it was answered already, or never given", ErrUnknownOrder, kind, id)
	}
	delete(b.m, id)
	return ref, nil
}

// work is a follow-up that needs a lock which its originator could not take.
type work struct {
	kind workKind
	f    *function
	c    *container
	n    *node
	mem  int64
	why  Reason
}

type workKind uint8

const (
	workOffer   workKind = iota // memory mem is booked on n for f
	workUnbook                  // mem on n is free again
	workRetire                  // c is to go as soon as it is idle
	workReclaim                 // find idle containers to give up for those that wait for memory
	workLost                    // c is gone with its node
	workBalance                 // f should look at its line again
	workDrain                   // c's node is being emptied, or not any more
)

// settle carries out follow-ups until none is left. No lock is held.
func (c *Core) settle(now time.Duration, fx *Effects) {
	for i := 0; i < len(fx.work); i++ {
		w := fx.work[i]
		switch w.kind {
		case workOffer:
			w.f.mu.Lock()
			w.f.clamp(now)
			w.f.offered(w.n, w.mem, fx)
			w.f.mu.Unlock()
		case workUnbook:
			c.ledger.unbook(now, c, w.f, w.n, w.mem, fx)
		case workRetire, workLost:
			w.f.mu.Lock()
			w.f.clamp(now)
			if w.kind == workRetire {
				w.f.stop(w.c, w.why, fx)
			} else {
				w.f.lose(w.c, fx)
			}
			w.f.balance(fx)
			w.f.mu.Unlock()
		case workDrain:
			w.f.mu.Lock()
			w.f.clamp(now)
			w.f.drain(w.c)
			w.f.balance(fx)
			w.f.mu.Unlock()
		case workReclaim:
			c.reclaim(now, fx)
		case workBalance:
			w.f.mu.Lock()
			w.f.clamp(now)
			w.f.balance(fx)
			w.f.mu.Unlock()
		}
	}
	clear(fx.work)
	fx.work = fx.work[:0]
}
