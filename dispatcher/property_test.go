package dispatcher

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// op is one random step: what it does and with which of the things at hand.
type op struct{ code, a, b uint8 }

func (o op) String() string {
	return fmt.Sprintf("{%s %d %d}", opNames[int(o.code)%len(opNames)], o.a, o.b)
}

var opNames = [...]string{"acquire", "acquire", "acquire", "return", "return", "cancel", "do", "do", "do", "fail", "lost", "level", "nodes", "time", "time", "stats", "limit", "cordon"}

// shell carries orders out at random and knows what every call is owed.
type shell struct {
	core   *Core
	now    time.Duration
	fx     Effects
	orders []Order
	leases map[string]Lease
	wait   map[string]Ticket
	ended  map[string]bool
	ids    []string
	of     map[string]int // function of a request
	nodes  int
	news   News
}

func newShell(nodes int) *shell {
	c, err := New(Options{MaxNodes: nodes, MaxWait: 5 * time.Second, MaxLine: 20, Kappa: 3 * time.Second})
	if err != nil {
		panic(err)
	}
	return &shell{core: c, leases: map[string]Lease{}, wait: map[string]Ticket{}, ended: map[string]bool{}, of: map[string]int{}}
}

// functions of the test: how they share, their memory in MiB, their account.
var propertyFunctions = []struct {
	name, account string
	mem           int64
	conc          int
}{{"one", "A", 512, 1}, {"two", "A", 1024, 1}, {"auto", "A", 256, 0}, {"three", "B", 700, 3}, {"big", "B", 3072, 1}}

func (s *shell) step(o op) error {
	s.fx.Reset()
	var err error
	switch opNames[int(o.code)%len(opNames)] {
	case "acquire":
		err = s.acquire(o)
	case "return":
		err = s.giveBack(o)
	case "cancel":
		if id := s.pick(o.a, func(id string) bool { return s.wait[id].Seq != 0 }); id != "" {
			if !s.core.Cancel(s.now, s.wait[id], &s.fx) {
				return fmt.Errorf("cancel of %s, which waits, came too late", id)
			}
			s.end(id)
		}
	case "do":
		err = s.answer(o, true)
	case "fail":
		err = s.answer(o, false)
	case "lost":
		if nodes := s.core.Cluster(s.now).Nodes; len(nodes) > 0 && o.b < 40 {
			id := nodes[int(o.a)%len(nodes)].ID
			err = s.core.NodeLost(s.now, id, &s.fx)
		}
	case "level":
		if n := len(s.core.fns); n > 0 {
			s.core.News(s.now, &s.news)
			f := s.core.fns[int(o.a)%n]
			err = s.core.SetLevel(s.now, Level{Fn: f.id, Want: int(o.b) % 5, Seen: f.newsSeq}, &s.fx)
		}
	case "nodes":
		err = s.core.SetNodes(s.now, NodeTarget{Want: int(o.b) % 4}, &s.fx)
	case "time":
		s.now += time.Duration(o.b) * time.Duration(o.a) * 100 * time.Microsecond
		s.core.Tick(s.now, &s.fx)
	case "stats":
		s.stats(o)
	case "limit":
		err = s.limit(o)
	case "cordon":
		if nodes := s.core.Cluster(s.now).Nodes; len(nodes) > 0 {
			_, err = s.core.DrainNode(s.now, nodes[int(o.a)%len(nodes)].ID, o.b%2 == 0, &s.fx)
			if errors.Is(err, ErrUnknownNode) { // it is being released
				err = nil
			}
		}
	}
	if err != nil {
		return err
	}
	if err := s.absorb(); err != nil {
		return err
	}
	return s.core.Check()
}

func (s *shell) acquire(o op) error {
	p := propertyFunctions[int(o.a)%len(propertyFunctions)]
	id := fmt.Sprintf("r%d", len(s.ids))
	if o.b > 250 && len(s.ids) > 0 { // now and then an id that exists
		id = s.ids[len(s.ids)-1]
		if s.ended[id] || s.wait[id].Seq != 0 {
			return nil
		}
		p = propertyFunctions[s.of[id]]
	} else {
		s.of[id] = int(o.a) % len(propertyFunctions)
		s.ids = append(s.ids, id)
	}
	l, t, err := s.core.Acquire(s.now, Request{ID: id, Waiter: id, Concurrency: p.conc,
		Function: cluster.Function{Account: p.account, Name: p.name, Memory: p.mem * cluster.MiB, Timeout: 20 * time.Second}}, &s.fx)
	switch {
	case errors.Is(err, ErrLineFull), errors.Is(err, ErrLimit), errors.Is(err, ErrPaused), errors.Is(err, ErrNoStart):
		s.end(id)
	case err != nil:
		return err
	case t.Seq != 0:
		s.wait[id] = t
	default:
		return s.granted(id, l)
	}
	return nil
}

// granted checks that no container holds more than it admits.
func (s *shell) granted(id string, l Lease) error {
	if _, twice := s.leases[id]; twice && s.leases[id].Container != l.Container {
		return fmt.Errorf("%s has two leases", id)
	}
	ct := s.core.find(l.ContainerID)
	if ct == nil || ct.state != ready || ct.node.lost.Load() {
		return fmt.Errorf("%s was given container %s, which is not ready", id, l.ContainerID)
	}
	if limit := ct.fn.share.limit; limit > 0 && ct.leases > limit {
		return fmt.Errorf("container %s holds %d leases, %d may be", l.ContainerID, ct.leases, limit)
	}
	s.leases[id] = l
	return nil
}

// limit bounds a function or an account, or lifts the bounds again.
func (s *shell) limit(o op) error {
	if o.a%4 == 0 {
		return s.core.SetAccountLimits([]string{"A", "B"}[o.a/4%2], AccountLimits{Containers: int(o.b) % 4, Waiting: int(o.b) / 8 % 5, MemoryShare: float64(o.b%3) / 2})
	}
	if len(s.core.fns) == 0 {
		return nil
	}
	f := s.core.fns[int(o.a)%len(s.core.fns)]
	return s.core.SetLimits(s.now, f.id, Limits{Containers: int(o.b) % 3, Waiting: int(o.b) / 8 % 4, Paused: o.b > 230}, &s.fx)
}

func (s *shell) lift() {
	for _, a := range []string{"A", "B"} {
		_ = s.core.SetAccountLimits(a, AccountLimits{})
	}
	for _, f := range s.core.fns {
		_ = s.core.SetLimits(s.now, f.id, Limits{}, &s.fx)
	}
	for _, n := range s.core.Cluster(s.now).Nodes {
		_, _ = s.core.DrainNode(s.now, n.ID, true, &s.fx)
	}
}

func (s *shell) end(id string) {
	s.ended[id] = true
	delete(s.wait, id)
	delete(s.leases, id)
}

func (s *shell) giveBack(o op) error {
	id := s.pick(o.a, func(id string) bool { _, ok := s.leases[id]; return ok })
	if id == "" {
		return nil
	}
	l := s.leases[id]
	s.end(id)
	err := s.core.Return(s.now, Returned{RequestID: id, ContainerID: l.ContainerID, Duration: 10 * time.Millisecond,
		MaxMemory: int64(o.b) * cluster.MiB, Failed: o.b%16 == 0, OutOfMemory: o.b%32 == 0}, &s.fx)
	if errors.Is(err, ErrUnknownLease) { // it expired, or its node was lost
		return nil
	}
	return err
}

func (s *shell) pick(a uint8, ok func(string) bool) string {
	var fit []string
	for _, id := range s.ids {
		if ok(id) {
			fit = append(fit, id)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	return fit[int(a)%len(fit)]
}

// answer ends one of the outstanding orders, well or badly.
func (s *shell) answer(o op, well bool) error {
	if len(s.orders) == 0 {
		return nil
	}
	i := int(o.a) % len(s.orders)
	order := s.orders[i]
	s.orders = append(s.orders[:i:i], s.orders[i+1:]...)
	bad := Failure{Err: "no luck", NoNode: true, NodeLost: o.b > 250, Memory: o.b > 240}
	c, fx := s.core, &s.fx
	switch order.Kind {
	case StartContainer:
		if well {
			return c.Started(s.now, order.ID, fmt.Sprintf("c%d", order.Container), fx)
		}
		return c.StartFailed(s.now, order.ID, bad, fx)
	case StopContainer:
		if well {
			return c.Stopped(s.now, order.ID, fx)
		}
		return c.StopFailed(s.now, order.ID, bad, fx)
	case ReserveNode:
		if well {
			s.nodes++
			return c.NodeReady(s.now, order.ID, cluster.Node{ID: fmt.Sprintf("n%d", s.nodes), Memory: 3 * cluster.GiB}, fx)
		}
		return c.ReserveFailed(s.now, order.ID, bad, fx)
	default:
		if well {
			return c.Released(s.now, order.ID, fx)
		}
		return c.ReleaseFailed(s.now, order.ID, bad, fx)
	}
}

func (s *shell) stats(o op) {
	for _, n := range s.core.Cluster(s.now).Nodes {
		st := cluster.Stats{Node: cluster.NodeStats{TotalMemory: 4 * cluster.GiB, UsedMemory: int64(o.a) * 8 * cluster.MiB}}
		for _, f := range s.core.fns {
			for _, ct := range f.ordered() {
				st.Containers = append(st.Containers, cluster.ContainerStats{ID: ct.wire, CPU: float64(o.b) / 4})
			}
		}
		if err := s.core.NodeStats(s.now, n.ID, st, &s.fx); err != nil {
			panic(err)
		}
	}
}

// absorb takes in what the core did.
func (s *shell) absorb() error {
	s.orders = append(s.orders, s.fx.Orders...)
	for id, l := range s.leases { // leases end with their node
		if s.core.find(l.ContainerID) == nil {
			delete(s.leases, id)
		}
	}
	for _, g := range s.fx.Grants {
		id := g.Waiter.(string)
		if s.wait[id].Seq == 0 {
			return fmt.Errorf("%s was granted and does not wait", id)
		}
		delete(s.wait, id)
		if g.Err != nil {
			s.end(id)
			continue
		}
		if err := s.granted(id, g.Lease); err != nil {
			return err
		}
	}
	return nil
}

// finish lets everything succeed until nothing is left: every call must have ended, every node must be empty.
func (s *shell) finish() error {
	s.fx.Reset()
	s.lift()
	if err := s.absorb(); err != nil {
		return err
	}
	for round := 0; round < 400; round++ {
		if round == 200 {
			s.fx.Reset()
			s.core.Shutdown(s.now, &s.fx)
			if err := s.absorb(); err != nil {
				return err
			}
		}
		for len(s.orders) > 0 {
			if err := s.step(op{code: 6}); err != nil {
				return err
			}
		}
		for len(s.leases) > 0 {
			if err := s.step(op{code: 3, b: 1}); err != nil {
				return err
			}
		}
		if err := s.step(op{code: 13, a: 100, b: 10}); err != nil {
			return err
		}
		if round == 150 && len(s.wait) > 0 {
			return fmt.Errorf("%d calls still wait after %v in which everything succeeded", len(s.wait), 150*100*time.Millisecond)
		}
	}
	if !s.core.Empty() {
		return fmt.Errorf("not empty after shutdown: %+v", s.core.Cluster(s.now))
	}
	return nil
}

func playOps(ops []op, nodes int) error {
	s := newShell(nodes)
	for i, o := range ops {
		if err := s.step(o); err != nil {
			return fmt.Errorf("step %d %v: %w", i, o, err)
		}
	}
	return s.finish()
}

// TestInvariants plays random operations against the invariants of check, and prints the shortest sequence that
// it finds when one breaks.
func TestInvariants(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 50
	}
	for seed := range runs {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		ops := make([]op, 40+rng.IntN(300))
		for i := range ops {
			ops[i] = op{uint8(rng.UintN(256)), uint8(rng.UintN(256)), uint8(rng.UintN(256))}
		}
		nodes := 1 + seed%4
		if err := safely(ops, nodes); err != nil {
			ops = shrink(ops, nodes)
			t.Fatalf("seed %d, %d nodes: %v\nshrunk to %d steps: %v\n%v", seed, nodes, err, len(ops), safely(ops, nodes), list(ops))
		}
	}
}

func safely(ops []op, nodes int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return playOps(ops, nodes)
}

// shrink removes steps, large pieces first, while the sequence still fails.
func shrink(ops []op, nodes int) []op {
	for size := len(ops) / 2; size > 0; {
		smaller := false
		for at := 0; at+size <= len(ops); {
			rest := append(append([]op{}, ops[:at]...), ops[at+size:]...)
			if safely(rest, nodes) != nil {
				ops, smaller = rest, true
			} else {
				at += size
			}
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return ops
}

func list(ops []op) string {
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "  %v\n", o)
	}
	return b.String()
}
