package sim

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/model"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// Planner is all that a World asks of package prewarm: it reads the news, writes what it wants from now on, and says
// when it wants to be called again.
type Planner interface {
	Advance(now time.Duration, news *dispatcher.News, out *prewarm.Decisions) (next time.Duration)
}

// Options describes a World. The zero value has the core's and the model's defaults and no planner.
type Options struct {
	Seed    uint64
	Core    dispatcher.Options
	Cluster model.Options
	Planner Planner       // nil: the core alone, which keeps idle containers for Core.Kappa and a start
	Poll    time.Duration // between two readings of each node. Default 1 s.
	Audit   time.Duration // between two comparisons of the core's books with the world's during a run. Default: at its end only
}

// Arrival is a call that comes.
type Arrival struct {
	At          time.Duration
	Function    cluster.Function
	Concurrency int           // as in dispatcher.Request
	Patience    time.Duration // how long its caller waits for a container; 0: as long as the core lets it
	Work        model.Work
	Base        int64 // bytes that the function's process uses without calls

	Leave  time.Duration // its caller goes away if it still waits after so long; 0: never
	Vanish bool          // and tells nobody: what it is granted then is returned unused
	Silent bool          // its caller never returns the container
}

const (
	never = time.Duration(math.MaxInt64)

	// closing is how long the end of a run may take before it is called stuck: longer than any timeout of a call.
	closing = 10 * time.Minute
	// sameInstant is how often the core may ask for Tick without time passing before it is called stuck.
	sameInstant = 10_000
)

// World is a scheduler, its cluster and its callers in virtual time. See the package's documentation.
type World struct {
	opts  Options
	loop  model.Loop
	nodes *model.Cluster
	core  *dispatcher.Core

	fx        dispatcher.Effects
	news      dispatcher.News
	decisions prewarm.Decisions
	planAt    time.Duration // when the planner is called next
	tickAt    time.Duration // when Tick is called next
	ticks     int           // calls of Tick at tickedAt
	tickedAt  time.Duration

	calls     uint64 // so far: numbers request ids
	open      int    // calls that have not ended
	orders    int    // orders without a result
	last      bool   // the last call has arrived
	stopping  bool   // Shutdown was called
	functions map[fnKey]*function
	order     []*function // as they were first called
	boxes     map[dispatcher.ContainerID]*box
	held      nodeBook
	audits    int
	faults    []error
}

type fnKey struct{ account, name string }

// New makes a World at time 0.
func New(opts Options) (*World, error) {
	if opts.Poll == 0 {
		opts.Poll = time.Second
	}
	core, err := dispatcher.New(opts.Core)
	if err != nil {
		return nil, err
	}
	w := &World{opts: opts, core: core, planAt: never, tickAt: never,
		functions: map[fnKey]*function{}, boxes: map[dispatcher.ContainerID]*box{}}
	w.nodes, err = model.New(&w.loop, opts.Cluster, rand.New(rand.NewPCG(opts.Seed, clusterStream)))
	return w, err
}

// clusterStream is the stream of random numbers that the cluster draws from; a workload uses others.
const clusterStream = 1 << 32

// Run lets the calls arrive, in the order of their time, and goes on until `until` and the end of the last call.
// The score is of that moment. Then the core is shut down and the rest runs out, for Check. A World runs once.
func (w *World) Run(arrivals iter.Seq[Arrival], until time.Duration) Score {
	next, stop := iter.Pull(arrivals)
	defer stop()
	w.arriveNext(next)
	w.loop.At(w.opts.Poll, w.poll)
	if w.opts.Audit > 0 {
		w.loop.At(w.opts.Audit, w.auditAgain)
	}
	if w.opts.Planner != nil {
		w.planBy(0)
	}
	for (!w.last || w.open > 0) && w.step() {
	}
	w.loop.At(max(until, w.loop.Now()), func() {})
	for w.loop.Now() < until && w.step() {
	}
	score := w.score()
	w.shutdown()
	return score
}

// step runs one event; false means that nothing is left, or that the world is stuck.
func (w *World) step() bool { return w.ticks < sameInstant && w.loop.Step() }

// arriveNext enters the next call into the loop: only one waits there, so that a workload of any length streams.
func (w *World) arriveNext(next func() (Arrival, bool)) {
	a, ok := next()
	if !ok {
		w.last = true
		return
	}
	w.loop.At(a.At, func() {
		w.arrive(&a)
		w.arriveNext(next)
	})
}

// shutdown ends the run and lets everything that exists go.
func (w *World) shutdown() {
	w.stopping = true
	w.core.Shutdown(w.loop.Now(), &w.fx)
	w.react()
	end := w.loop.Now() + closing
	for (w.orders > 0 || w.open > 0 || !w.core.Empty()) && w.loop.Now() < end && w.step() {
	}
}

// fault notes something that must not happen, for Check. The first few tell the story.
func (w *World) fault(format string, args ...any) {
	if len(w.faults) < 20 {
		w.faults = append(w.faults, fmt.Errorf("%v: "+format, append([]any{w.loop.Now()}, args...)...))
	}
}

// told notes that the core refused what it was told.
func (w *World) told(what string, err error) {
	if err != nil {
		w.fault("%s: %w", what, err)
	}
}

// react carries out what the last call of the core brought about. It follows every such call.
func (w *World) react() {
	for i := range w.fx.Grants {
		w.granted(&w.fx.Grants[i])
	}
	for i := range w.fx.Orders {
		w.ordered(w.fx.Orders[i])
	}
	if w.fx.Hurry && w.opts.Planner != nil {
		w.planBy(w.loop.Now())
	}
	w.fx.Reset()
	w.tickBy(w.core.NextDue())
}

// tickBy makes sure that Tick is called by t. An earlier call that turns out to be needless is harmless.
func (w *World) tickBy(t time.Duration) {
	t = max(t, w.loop.Now())
	if t >= w.tickAt {
		return
	}
	w.tickAt = t
	w.loop.At(t, func() {
		if w.tickAt != t {
			return
		}
		w.tickAt = never
		w.countTick()
		w.core.Tick(w.loop.Now(), &w.fx)
		w.react()
	})
}

func (w *World) countTick() {
	if w.tickedAt != w.loop.Now() {
		w.tickedAt, w.ticks = w.loop.Now(), 0
	}
	if w.ticks++; w.ticks == sameInstant {
		w.fault("the core asks for Tick again and again without time passing")
	}
}

// planBy makes sure that the planner is called by t.
func (w *World) planBy(t time.Duration) {
	if w.stopping || t >= w.planAt {
		return
	}
	w.planAt = t
	w.loop.At(t, func() {
		if w.planAt != t || w.stopping {
			return
		}
		w.planAt = never
		w.plan()
	})
}

// shortestRound keeps a planner that names a time which has passed from standing still.
const shortestRound = time.Millisecond

func (w *World) plan() {
	now := w.loop.Now()
	w.core.News(now, &w.news)
	w.decisions.Reset()
	next := w.opts.Planner.Advance(now, &w.news, &w.decisions)
	for _, l := range w.decisions.Levels {
		w.told("SetLevel", w.core.SetLevel(now, l, &w.fx))
		w.react()
	}
	if w.decisions.HasNodes {
		w.told("SetNodes", w.core.SetNodes(now, w.decisions.Nodes, &w.fx))
		w.react()
	}
	w.planBy(max(next, now+shortestRound))
}

// poll reads every node, and tells the core of those that are gone.
func (w *World) poll() {
	now := w.loop.Now()
	for _, n := range w.core.Cluster(now).Nodes {
		if n.Releasing || n.Lost {
			continue
		}
		s, err := w.nodes.Stats(n.Node.ID)
		if errors.Is(err, cluster.ErrNodeLost) {
			w.told("NodeLost", w.core.NodeLost(now, n.ID, &w.fx))
		} else {
			w.told("NodeStats", w.core.NodeStats(now, n.ID, s, &w.fx))
		}
		w.react()
	}
	w.loop.After(w.opts.Poll, w.poll)
}
