package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// BenchmarkAcquireReturn measures a warm Acquire and its Return, beside a bare pair in the same run: two maps, a
// mutex and a stack, which is what the contract itself forces.
func BenchmarkAcquireReturn(b *testing.B) {
	for _, shape := range []struct {
		name                  string
		functions, goroutines int
	}{{"1function", 1, 1}, {"10000functions", 10_000, 1}, {"16goroutines/1function", 1, 16}, {"16goroutines/10000functions", 10_000, 16}} {
		b.Run(shape.name+"/core", func(b *testing.B) { benchPairs(b, warmCore(shape.functions, shape.goroutines), shape.goroutines) })
		b.Run(shape.name+"/bare", func(b *testing.B) { benchPairs(b, newBare(shape.functions, shape.goroutines), shape.goroutines) })
	}
}

// pairer does one acquire and return of a function for a caller.
type pairer interface {
	pair(caller, fn int, id string)
}

const idsPerCaller = 64 // request ids are made beforehand: making them is the caller's cost

func benchPairs(b *testing.B, p pairer, goroutines int) {
	b.ReportAllocs()
	n := functionsOf(p)
	var next atomic.Int64
	run := func(caller int, more func() bool) {
		rng := rand.New(rand.NewPCG(1, uint64(caller)))
		ids := make([]string, idsPerCaller)
		for i := range ids {
			ids[i] = fmt.Sprintf("request-%04d-%08x-%d", caller, rng.Uint32(), i)
		}
		for i := 0; more(); i++ {
			p.pair(caller, rng.IntN(n), ids[i%idsPerCaller])
		}
	}
	b.ResetTimer()
	if goroutines == 1 {
		run(0, b.Loop)
		return
	}
	var wg sync.WaitGroup
	total := int64(b.N)
	for g := range goroutines {
		wg.Go(func() { run(g, func() bool { return next.Add(1) <= total }) })
	}
	wg.Wait()
}

func functionsOf(p pairer) int {
	switch p := p.(type) {
	case *corePairs:
		return len(p.fns)
	case *bare:
		return len(p.names)
	}
	panic("unknown pairer")
}

// corePairs is a core with enough warm containers for every caller.
type corePairs struct {
	core *Core
	fns  []cluster.Function
	fx   []Effects
}

func warmCore(functions, callers int) *corePairs {
	c, err := New(Options{MaxNodes: 4 * functions * callers, NodeMemory: 3 * cluster.GiB})
	if err != nil {
		panic(err)
	}
	p := &corePairs{core: c, fx: make([]Effects, callers)}
	containers := callers
	if functions > callers {
		containers = 1 // callers seldom meet
	}
	for i := range functions {
		p.fns = append(p.fns, cluster.Function{Name: fmt.Sprintf("function-%d", i), Memory: 128 * cluster.MiB, Timeout: time.Hour})
		p.warm(i, containers)
	}
	return p
}

// warm has so many containers of a function ready and idle.
func (p *corePairs) warm(fn, containers int) {
	var fx Effects
	for i := range containers {
		_, _, err := p.core.Acquire(0, Request{ID: fmt.Sprint(fn, i), Waiter: i, Function: p.fns[fn], Concurrency: 1}, &fx)
		if err != nil {
			panic(err)
		}
	}
	for len(fx.Orders) > 0 {
		o := fx.Orders[0]
		fx.Orders = fx.Orders[1:]
		if o.Kind == ReserveNode {
			_ = p.core.NodeReady(0, o.ID, cluster.Node{ID: fmt.Sprint("n", o.ID), Memory: 3 * cluster.GiB}, &fx)
		} else {
			_ = p.core.Started(0, o.ID, fmt.Sprintf("container-%d", o.Container), &fx)
		}
	}
	for i, g := range fx.Grants {
		if err := p.core.Return(0, Returned{RequestID: fmt.Sprint(fn, i), ContainerID: g.Lease.ContainerID}, &fx); err != nil {
			panic(err)
		}
	}
}

func (p *corePairs) pair(caller, fn int, id string) {
	fx := &p.fx[caller]
	l, t, err := p.core.Acquire(time.Millisecond, Request{ID: id, Waiter: fx, Function: p.fns[fn], Concurrency: 1}, fx)
	if err != nil {
		panic(err)
	}
	if t.Seq != 0 { // another caller has the only container
		if p.core.Cancel(time.Millisecond, t, fx) {
			return
		}
		// granted by another caller's return, in whose effects it lies: the same id gets the same lease
		if l, t, err = p.core.Acquire(time.Millisecond, Request{ID: id, Waiter: fx, Function: p.fns[fn], Concurrency: 1}, fx); err != nil || t.Seq != 0 {
			panic("a live lease was not found again")
		}
	}
	fx.Grants = fx.Grants[:0]
	if err := p.core.Return(time.Millisecond, Returned{RequestID: id, ContainerID: l.ContainerID, Duration: 1}, fx); err != nil {
		panic(err)
	}
}

// bare is the least that the contract asks for: function, request and container found by name, one mutex, a stack.
type bare struct {
	mu         sync.Mutex
	names      []string
	stacks     map[string]*[]string
	requests   map[string]string
	containers map[string]*[]string
}

func newBare(functions, callers int) *bare {
	b := &bare{stacks: map[string]*[]string{}, requests: map[string]string{}, containers: map[string]*[]string{}}
	for i := range functions {
		name := fmt.Sprintf("function-%d", i)
		stack := &[]string{}
		for k := range callers {
			id := fmt.Sprintf("container-%d-%d", i, k)
			*stack = append(*stack, id)
			b.containers[id] = stack
		}
		b.names = append(b.names, name)
		b.stacks[name] = stack
	}
	return b
}

func (b *bare) pair(_, fn int, id string) {
	b.mu.Lock()
	s := b.stacks[b.names[fn]]
	c := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	b.requests[id] = c
	b.mu.Unlock()

	b.mu.Lock()
	if b.requests[id] == c {
		delete(b.requests, id)
		s = b.containers[c]
		*s = append(*s, c)
	}
	b.mu.Unlock()
}

func TestWarmPathAllocatesNothing(t *testing.T) {
	p := warmCore(1, 1)
	id := "request"
	for range 2000 { // fill the ring of news
		p.pair(0, 0, id)
	}
	if n := testing.AllocsPerRun(2000, func() { p.pair(0, 0, id) }); n != 0 {
		t.Errorf("warm Acquire and Return: %v allocations, want 0", n)
	}
}
