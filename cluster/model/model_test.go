package model

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

const (
	mib    = cluster.MiB
	second = time.Second
)

// bench is a cluster whose operations take no time unless a test says so, with helpers that run the loop dry.
type bench struct {
	*testing.T
	loop Loop
	c    *Cluster
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{T: t}
	for _, l := range []*Law{&o.Refill, &o.Reserve, &o.Start, &o.Remove} {
		if *l == nil {
			*l = Fixed(0)
		}
	}
	c, err := New(&b.loop, o, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	b.c = c
	return b
}

func (b *bench) node() string {
	b.Helper()
	var id string
	b.c.Reserve("a", func(n cluster.Node, err error) {
		if err != nil {
			b.Fatal(err)
		}
		id = n.ID
	})
	b.loop.RunUntil(b.loop.Now())
	return id
}

func (b *bench) container(node string, memory, base int64) string {
	b.Helper()
	var id string
	b.c.Create(node, cluster.Container{Name: "c", Memory: memory}, base, func(got string, err error) {
		if err != nil {
			b.Fatal(err)
		}
		id = got
	})
	b.loop.RunUntil(b.loop.Now())
	return id
}

// run begins a call after a while and keeps its outcome in the result.
func (b *bench) run(after time.Duration, node, container string, w Work) *Outcome {
	out := new(Outcome)
	b.loop.After(after, func() { b.c.Run(node, container, w, func(o Outcome) { *out = o }) })
	return out
}

func (b *bench) wait() {
	for b.loop.Step() {
	}
}

func near(got, want time.Duration) bool { return (got - want).Abs() <= time.Microsecond }

// unit is a container's memory that gives half a processor, to within a byte's worth.
const unit = cluster.GiB * 50 / 67

func TestProcessorSharing(t *testing.T) {
	type call struct {
		at, before, cpu, after, want float64 // seconds
		box                          int
	}
	tests := []struct {
		claim string
		boxes []int64
		calls []call
	}{
		{"a call that only waits takes its time", []int64{unit}, []call{{before: 1, after: 2, want: 3}}},
		{"alone it computes at the quota", []int64{unit}, []call{{cpu: 1, want: 2}}},
		{"waiting before and after adds up", []int64{unit}, []call{{before: .5, cpu: 1, after: .25, want: 2.75}}},
		{"two that compute share the quota", []int64{unit}, []call{{cpu: 1, want: 4}, {cpu: 1, want: 4}}},
		{"a waiting one takes no share", []int64{unit}, []call{{cpu: 1, want: 2}, {before: 5, want: 5}}},
		{"who comes later slows the first from then on", []int64{unit}, []call{{cpu: 1, want: 3}, {at: 1, cpu: 1, want: 3}}},
		{"the short one leaves, the long one speeds up", []int64{unit}, []call{{cpu: .5, want: 2}, {cpu: 1, want: 3}}},
		{"a larger container computes faster", []int64{2 * unit}, []call{{cpu: 1, want: 1}}},
		{"one call uses one processor at most", []int64{4 * unit}, []call{{cpu: 1, want: 1}}},
		{"two calls use two", []int64{4 * unit}, []call{{cpu: 1, want: 1}, {cpu: 1, want: 1}}},
		{"the node's two processors are shared by five halves", []int64{unit, unit, unit, unit, unit},
			[]call{{cpu: .4, box: 0, want: 1}, {cpu: .4, box: 1, want: 1}, {cpu: .4, box: 2, want: 1}, {cpu: .4, box: 3, want: 1}, {cpu: .4, box: 4, want: 1}}},
		{"small ones keep their half, the large one gets what is left", []int64{4 * unit, unit, unit},
			[]call{{cpu: 1, box: 0, want: 2}, {cpu: 1, box: 0, want: 2}, {cpu: 1, box: 1, want: 2}, {cpu: 1, box: 2, want: 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.claim, func(t *testing.T) {
			b := newBench(t, Options{Memory: 8 * cluster.GiB, Sold: 8 * cluster.GiB})
			node := b.node()
			var boxes []string
			for _, memory := range tt.boxes {
				boxes = append(boxes, b.container(node, memory, 0))
			}
			var got []*Outcome
			for _, c := range tt.calls {
				w := Work{Before: secs(c.before), CPU: secs(c.cpu), After: secs(c.after)}
				got = append(got, b.run(secs(c.at), node, boxes[c.box], w))
			}
			b.wait()
			for i, c := range tt.calls {
				if got[i].Err != nil || !near(got[i].Took, secs(c.want)) {
					t.Errorf("call %d (%+v) took %v (%v), want %v s", i, c, got[i].Took, got[i].Err, c.want)
				}
			}
		})
	}
}

func secs(s float64) time.Duration { return time.Duration(s * float64(second)) }

func TestWorkOfTakesItsTimeAlone(t *testing.T) {
	for _, memory := range []int64{128 * mib, 512 * mib, 3 * cluster.GiB} {
		for _, busy := range []float64{0, .1, .2, 1} {
			b := newBench(t, Options{})
			node := b.node()
			out := b.run(0, node, b.container(node, memory, 0), WorkOf(second, memory, busy, .3))
			b.wait()
			if !near(out.Took, second) {
				t.Errorf("WorkOf(1s, %d MiB, %v): took %v alone, want 1s", memory/mib, busy, out.Took)
			}
		}
	}
}

// TestSharingConserves compares the event-driven processor with a slow twin that moves in small steps.
func TestSharingConserves(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := newBench(t, Options{VCPU: .5 + r.Float64()})
		node := b.node()
		boxes := []string{b.container(node, 128*mib, 0), b.container(node, 512*mib, 0), b.container(node, cluster.GiB, 0)}
		limits := []float64{Quota(128 * mib), Quota(512 * mib), Quota(cluster.GiB)}
		var twins []*twin
		var got []*Outcome
		for range 12 {
			i := r.IntN(3)
			tw := &twin{box: i, at: r.Float64() * 2, left: .05 + r.Float64()*.3}
			twins = append(twins, tw)
			got = append(got, b.run(secs(tw.at), node, boxes[i], Work{CPU: secs(tw.left)}))
		}
		step(twins, limits, b.c.opts.VCPU)
		b.wait()
		for i, tw := range twins {
			if want := secs(tw.took); (got[i].Took - want).Abs() > 20*time.Millisecond {
				t.Errorf("seed %d, call %d: took %v, the slow twin says %v", seed, i, got[i].Took, want)
			}
		}
	}
}

type twin struct {
	box            int
	at, left, took float64
}

// step shares the processor among the twins in steps of 1 ms, by raising a common level until it is used up.
func step(twins []*twin, limits []float64, vcpu float64) {
	const dt = 1e-3
	for now := 0.0; now < 60; now += dt {
		n, open := make([]float64, len(limits)), false
		for _, tw := range twins {
			open = open || tw.left > 0
			if tw.at <= now && tw.left > 0 {
				n[tw.box]++
			}
		}
		if !open {
			return
		}
		rate := levels(n, limits, vcpu)
		for _, tw := range twins {
			if tw.at <= now && tw.left > 0 {
				tw.left -= dt * rate[tw.box] / n[tw.box]
				tw.took = now + dt - tw.at
			}
		}
	}
}

// levels finds the max-min fair rates by bisection.
func levels(n, limits []float64, vcpu float64) []float64 {
	at := func(level float64) (rates []float64, sum float64) {
		for i := range n {
			rates = append(rates, min(level, limits[i], n[i]))
			sum += rates[i]
		}
		return rates, sum
	}
	lo, hi := 0.0, 2.0
	for range 30 {
		if _, sum := at((lo + hi) / 2); sum > vcpu {
			hi = (lo + hi) / 2
		} else {
			lo = (lo + hi) / 2
		}
	}
	rates, _ := at(hi)
	return rates
}

func TestMemory(t *testing.T) {
	b := newBench(t, Options{})
	node := b.node()
	id := b.container(node, 100*mib, 10*mib)
	first := b.run(0, node, id, Work{After: second, Memory: 40 * mib})
	later := b.run(2*second, node, id, Work{After: second, Memory: 5 * mib})
	b.wait()
	if first.MaxMemory != 50*mib || later.MaxMemory != 50*mib {
		t.Errorf("highest memory is %d and then %d MiB, want 50 both times: the process's mark never falls", first.MaxMemory/mib, later.MaxMemory/mib)
	}

	whole := b.run(0, node, id, Work{After: second, Memory: 90 * mib})
	b.wait()
	if whole.Err != nil {
		t.Errorf("a call that fills the container exactly fails: %v", whole.Err)
	}
	a, z := b.run(0, node, id, Work{After: second, Memory: 50 * mib}), b.run(second/2, node, id, Work{After: second, Memory: 41 * mib})
	b.wait()
	if !errors.Is(a.Err, cluster.ErrOutOfMemory) || !errors.Is(z.Err, cluster.ErrOutOfMemory) || a.Took != second/2 || z.Took != 0 {
		t.Errorf("past the limit: %+v and %+v, want both out of memory when the second came", a, z)
	}
	if after := b.run(0, node, id, Work{}); true {
		b.wait()
		if !errors.Is(after.Err, cluster.ErrNotFound) {
			t.Errorf("a call of a broken container ended with %v, want %v", after.Err, cluster.ErrNotFound)
		}
	}
}

func TestTimeoutFreesTheProcessor(t *testing.T) {
	b := newBench(t, Options{})
	node := b.node()
	id := b.container(node, unit, 0)
	slow := b.run(0, node, id, Work{CPU: 10 * second, Timeout: second})
	other := b.run(0, node, id, Work{CPU: second})
	b.wait()
	if !errors.Is(slow.Err, ErrTimeout) || slow.Took != second {
		t.Errorf("got %+v, want a timeout after 1s", slow)
	}
	if want := 2500 * time.Millisecond; !near(other.Took, want) { // 0.25 s of work in the first second, then 0.75 at a half
		t.Errorf("the other took %v, want %v", other.Took, want)
	}
}

func TestManager(t *testing.T) {
	b := newBench(t, Options{Nodes: 1, Cap: 2, Refill: Fixed(10 * second), Reserve: Fixed(second / 20), Remove: Fixed(second / 50)})
	var log []string
	reserve := func(at time.Duration) {
		b.loop.At(at, func() {
			b.c.Reserve("a", func(n cluster.Node, err error) {
				log = append(log, fmt.Sprintf("%v %s %v", b.loop.Now(), n.ID, errors.Is(err, cluster.ErrNoNode)))
			})
		})
	}
	reserve(0)
	reserve(0)
	reserve(9 * second)
	reserve(10*second + second/2)
	reserve(11 * second) // two are owned: that is the cap
	b.loop.At(12*second, func() { b.c.Release("node-1", func(error) {}) })
	reserve(22 * second)
	reserve(23 * second)
	b.wait()
	want := "0s  true|50ms node-1 false|9s  true|10.55s node-2 false|11s  true|22s  true|23.05s node-1 false"
	if got := strings.Join(log, "|"); got != want {
		t.Errorf("reservations went\n%s\nwant\n%s", got, want)
	}
	s, err := b.c.Stats("node-1")
	if err != nil || s.LiveID != "node-1/2" {
		t.Errorf("the second life of node-1 is %q (%v), want node-1/2", s.LiveID, err)
	}
}

func TestSoldMemoryIsTheLimit(t *testing.T) {
	b := newBench(t, Options{Remove: Fixed(second)})
	node := b.node()
	b.container(node, 2*cluster.GiB, 0)
	last := b.container(node, cluster.GiB, 0)
	create := func() (err error) {
		b.c.Create(node, cluster.Container{Name: "more", Memory: mib}, 0, func(_ string, e error) { err = e })
		b.loop.RunUntil(b.loop.Now())
		return err
	}
	if err := create(); !errors.Is(err, cluster.ErrOutOfMemory) {
		t.Errorf("a container beyond 3 GiB: %v, want %v", err, cluster.ErrOutOfMemory)
	}
	b.c.Remove(node, last, func(error) {})
	if err := create(); !errors.Is(err, cluster.ErrOutOfMemory) {
		t.Errorf("while one is being removed: %v, want %v", err, cluster.ErrOutOfMemory)
	}
	b.wait()
	if err := create(); err != nil {
		t.Errorf("after it was removed: %v", err)
	}
}

func TestStats(t *testing.T) {
	b := newBench(t, Options{})
	node := b.node()
	id := b.container(node, unit, 10*mib)
	b.run(0, node, id, Work{CPU: 2 * second, Memory: 20 * mib})
	b.loop.RunUntil(second)
	b.c.Stats(node)
	b.loop.RunUntil(3 * second)
	s, err := b.c.Stats(node)
	if err != nil || len(s.Containers) != 1 {
		t.Fatalf("got %+v, %v", s, err)
	}
	c := s.Containers[0]
	if c.ID != id || c.UsedMemory != 30*mib || c.Memory != unit || c.CPU < 49.99 || c.CPU > 50.01 || s.Node.CPU < 49.99 || s.Node.CPU > 50.01 {
		t.Errorf("two seconds at half a processor read as %+v on a node at %v %%", c, s.Node.CPU)
	}
	if s.Node.UsedMemory != 512*mib+30*mib || s.Node.TotalMemory != 4*cluster.GiB || s.Owner != "a" {
		t.Errorf("the node reads as %+v, owner %q", s.Node, s.Owner)
	}
}

func TestFailures(t *testing.T) {
	b := newBench(t, Options{StartFails: 1, NodeDeaths: 1, Start: Fixed(second)})
	node := b.node()
	var got error
	b.c.Create(node, cluster.Container{Name: "c", Memory: mib}, 0, func(_ string, err error) { got = err })
	b.loop.RunUntil(second)
	if !errors.Is(got, ErrStartFailed) {
		t.Errorf("a start that fails ends with %v", got)
	}
	b.c.opts.StartFails = 0
	b.c.Create(node, cluster.Container{Name: "c", Memory: mib}, 0, func(id string, err error) {
		b.c.Run(node, id, Work{After: 1e6 * time.Hour}, func(o Outcome) { got = o.Err })
	})
	b.wait()
	if !errors.Is(got, cluster.ErrNodeLost) {
		t.Errorf("a call on a node that died ended with %v", got)
	}
	if _, err := b.c.Stats(node); !errors.Is(err, cluster.ErrNodeLost) {
		t.Errorf("its reading: %v", err)
	}
	b.c.Release(node, func(err error) { got = err })
	b.wait()
	if nodes, containers := b.c.Held(); got != nil || nodes+containers != 0 {
		t.Errorf("released with %v, %d nodes and %d containers left", got, nodes, containers)
	}
}

func TestLoopKeepsTheOrderOfEntry(t *testing.T) {
	var l Loop
	var got []int
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 500 {
		at := time.Duration(r.IntN(20))
		l.At(at, func() { got = append(got, int(at)*1000+i) })
	}
	for l.Step() {
	}
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Fatalf("event %d ran before event %d", got[i-1], got[i])
		}
	}
	if len(got) != 500 || l.Ran() != 500 {
		t.Errorf("%d events ran, want 500", len(got))
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{Nodes: 3, Cap: 2}, {Nodes: -1}, {VCPU: -1}, {Memory: 1, Sold: 2}, {StartFails: 2}, {NodeDeaths: -1}} {
		if _, err := New(new(Loop), o, nil); err == nil {
			t.Errorf("New(%+v) takes it, want an error", o)
		}
	}
}
