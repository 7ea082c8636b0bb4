package dispatcher

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// served is a core with one node and one ready container of function "good", which holds the lease of call "held".
func served(t *testing.T) (c *Core, lease Lease) {
	t.Helper()
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	if _, _, err := c.Acquire(0, goodRequest("held"), &fx); err != nil {
		t.Fatal(err)
	}
	reserve := fx.Orders[0].ID
	fx.Reset()
	if err := c.NodeReady(0, reserve, cluster.Node{ID: "n1", Memory: 3 * cluster.GiB}, &fx); err != nil {
		t.Fatal(err)
	}
	start := fx.Orders[0].ID
	fx.Reset()
	if err := c.Started(time.Second, start, "c1", &fx); err != nil {
		t.Fatal(err)
	}
	return c, fx.Grants[0].Lease
}

func goodRequest(id string) Request {
	return Request{ID: id, Concurrency: 1, Function: cluster.Function{Name: "good", Account: "acc", Memory: 256 * cluster.MiB, Timeout: time.Minute}}
}

// TestBadInput says of every malformed call of the core's methods where it is wrong and how it would be right, and
// that nothing comes of it: no order, no grant, and the lease that was held before is returned and given anew after.
func TestBadInput(t *testing.T) {
	long := strings.Repeat("x", 5000)
	acquire := func(change func(*Request)) func(*Core, *Effects) error {
		return func(c *Core, fx *Effects) error {
			r := goodRequest("bad")
			change(&r)
			_, _, err := c.Acquire(2*time.Second, r, fx)
			return err
		}
	}
	giveBack := func(r Returned) func(*Core, *Effects) error {
		return func(c *Core, fx *Effects) error { return c.Return(2*time.Second, r, fx) }
	}
	for _, tt := range []struct {
		name string
		call func(*Core, *Effects) error
		is   error
		says []string // the place and the fix
	}{
		{"no request id", acquire(func(r *Request) { r.ID = "" }), ErrInvalid, []string{"request_id is empty", "names the call"}},
		{"a very long request id", acquire(func(r *Request) { r.ID = long }), ErrInvalid, []string{"request_id is 5000 bytes", "at most 1024"}},
		{"no function name", acquire(func(r *Request) { r.Function.Name = "" }), ErrInvalid, []string{"function_name is empty"}},
		{"a very long function name", acquire(func(r *Request) { r.Function.Name = long }), ErrInvalid, []string{"function_name", "at most 1024 bytes"}},
		{"a very long account", acquire(func(r *Request) { r.Function.Account = long }), ErrInvalid, []string{"account_id", "at most 1024 bytes"}},
		{"a very long handler", acquire(func(r *Request) { r.Function.Handler = long }), ErrInvalid, []string{"handler", "at most 1024 bytes"}},
		{"no memory", acquire(func(r *Request) { r.Function.Memory = 0 }), ErrInvalid, []string{`"good": memory_in_bytes is 0`, "at least 1048576"}},
		{"negative memory", acquire(func(r *Request) { r.Function.Memory = -1 }), ErrInvalid, []string{"memory_in_bytes is -1", "at least 1048576"}},
		{"the least memory there is", acquire(func(r *Request) { r.Function.Memory = math.MinInt64 }), ErrInvalid, []string{"memory_in_bytes is -9223372036854775808", "at least"}},
		{"memory past a node's", acquire(func(r *Request) { r.Function.Memory = 3*cluster.GiB + 1 }), ErrInvalid, []string{"memory_in_bytes is 3221225473", "a node has only 3221225472"}},
		{"memory past all sense", acquire(func(r *Request) { r.Function.Memory = math.MaxInt64 }), ErrInvalid, []string{"memory_in_bytes is 9223372036854775807", "a node has only 3221225472"}},
		{"a negative timeout", acquire(func(r *Request) { r.Function.Timeout = -time.Second }), ErrInvalid, []string{"timeout_in_ms is -1000", "between 0 (default) and 86400000"}},
		{"a timeout of a week", acquire(func(r *Request) { r.Function.Timeout = 7 * 24 * time.Hour }), ErrInvalid, []string{"timeout_in_ms is 604800000", "between 0 (default) and 86400000"}},
		{"negative concurrency", acquire(func(r *Request) { r.Concurrency = -3 }), ErrInvalid, []string{`"good": concurrency is -3`, "must not be negative"}},

		{"a return without ids", giveBack(Returned{}), ErrUnknownLease, []string{`container "" is not known`}},
		{"a return without a container", giveBack(Returned{RequestID: "held"}), ErrUnknownLease, []string{`container "" is not known`}},
		{"a return to another container", giveBack(Returned{RequestID: "held", ContainerID: "c9"}), ErrUnknownLease, []string{`container "c9" is not known`}},
		{"a return of an unknown call", giveBack(Returned{RequestID: "who", ContainerID: "c1"}), ErrUnknownLease, []string{`request "who"`, "returned already, expired, or never acquired"}},
		{"a return with very long ids", giveBack(Returned{RequestID: long, ContainerID: long}), ErrUnknownLease, []string{"is not known"}},
		{"a return with a negative duration", giveBack(Returned{RequestID: "held", ContainerID: "c1", Duration: -1}), ErrInvalid, []string{"duration_in_nanos -1", "must not be negative", "still live"}},
		{"a return with negative memory", giveBack(Returned{RequestID: "held", ContainerID: "c1", MaxMemory: -1}), ErrInvalid, []string{"max_memory_usage_in_bytes -1", "must not be negative", "still live"}},

		{"a start that was never ordered", func(c *Core, fx *Effects) error { return c.Started(2*time.Second, 99, "c9", fx) }, ErrUnknownOrder, []string{"start order 99", "answered already, or never given"}},
		{"a start told twice", func(c *Core, fx *Effects) error { return c.Started(2*time.Second, 2, "c1", fx) }, ErrUnknownOrder, []string{"start order 2", "answered already"}},
		{"a failed start that was never ordered", func(c *Core, fx *Effects) error { return c.StartFailed(2*time.Second, 0, Failure{}, fx) }, ErrUnknownOrder, []string{"start order 0"}},
		{"a stop that was never ordered", func(c *Core, fx *Effects) error { return c.Stopped(2*time.Second, 99, fx) }, ErrUnknownOrder, []string{"stop order 99"}},
		{"a failed stop that was never ordered", func(c *Core, fx *Effects) error { return c.StopFailed(2*time.Second, 99, Failure{}, fx) }, ErrUnknownOrder, []string{"stop order 99"}},
		{"a node told twice", func(c *Core, fx *Effects) error {
			return c.NodeReady(2*time.Second, 1, cluster.Node{ID: "n2", Memory: cluster.GiB}, fx)
		}, ErrUnknownOrder, []string{"reserve order 1", "answered already"}},
		{"a failed reservation that was never ordered", func(c *Core, fx *Effects) error { return c.ReserveFailed(2*time.Second, 99, Failure{}, fx) }, ErrUnknownOrder, []string{"reserve order 99"}},
		{"a release that was never ordered", func(c *Core, fx *Effects) error { return c.Released(2*time.Second, 99, fx) }, ErrUnknownOrder, []string{"release order 99"}},
		{"a failed release that was never ordered", func(c *Core, fx *Effects) error { return c.ReleaseFailed(2*time.Second, 99, Failure{}, fx) }, ErrUnknownOrder, []string{"release order 99"}},
		{"an unknown node is lost", func(c *Core, fx *Effects) error { return c.NodeLost(2*time.Second, 7, fx) }, ErrUnknownNode, []string{"no such node: 7", "released, or never held"}},
		{"readings of an unknown node", func(c *Core, fx *Effects) error { return c.NodeStats(2*time.Second, 7, cluster.Stats{}, fx) }, ErrUnknownNode, []string{"no such node: 7"}},

		{"a level of an unknown function", func(c *Core, fx *Effects) error { return c.SetLevel(2*time.Second, Level{Fn: 9, Want: 1}, fx) }, ErrInvalid, []string{"function 9", "never called"}},
		{"a negative level", func(c *Core, fx *Effects) error { return c.SetLevel(2*time.Second, Level{Want: -1}, fx) }, ErrInvalid, []string{"-1 levels of function 0", "must not be negative"}},
		{"a negative number of nodes", func(c *Core, fx *Effects) error { return c.SetNodes(2*time.Second, NodeTarget{Want: -1}, fx) }, ErrInvalid, []string{"-1 nodes", "must not be negative"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, lease := served(t)
			var fx Effects
			err := tt.call(c, &fx)
			if !errors.Is(err, tt.is) {
				t.Fatalf("error %v, want one that wraps %v", err, tt.is)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
			if len(err.Error()) > 400 {
				t.Errorf("the error repeats %d bytes of bad input", len(err.Error()))
			}
			if len(fx.Orders) > 0 || len(fx.Grants) > 0 {
				t.Errorf("something came of it: orders %v, grants %v", fx.Orders, fx.Grants)
			}
			stillServes(t, c, lease)
		})
	}
}

// stillServes returns the lease and takes the container again, warm.
func stillServes(t *testing.T, c *Core, lease Lease) {
	t.Helper()
	var fx Effects
	if err := c.Return(3*time.Second, Returned{RequestID: "held", ContainerID: lease.ContainerID}, &fx); err != nil {
		t.Errorf("the lease is lost: %v", err)
	}
	if l, _, err := c.Acquire(3*time.Second, goodRequest("next"), &fx); err != nil || l.Served != Warm || l.Container != lease.Container {
		t.Errorf("the next call got %+v, %v; want the same container, warm", l, err)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

// TestBadNode holds what a manager may say of a node against what can be: a node that cannot be is refused, and the
// reservation is made again.
func TestBadNode(t *testing.T) {
	for name, n := range map[string]cluster.Node{
		"no id":                        {Memory: cluster.GiB},
		"no memory":                    {ID: "n1"},
		"negative memory":              {ID: "n1", Memory: -1},
		"a very long id and no memory": {ID: strings.Repeat("x", 5000)},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := New(Options{})
			var fx Effects
			if _, _, err := c.Acquire(0, goodRequest("r"), &fx); err != nil {
				t.Fatal(err)
			}
			err := c.NodeReady(0, fx.Orders[0].ID, n, &fx)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "it should be released") || len(err.Error()) > 400 {
				t.Errorf("error %v, want a short one that says that the node should be released", err)
			}
			fx.Reset()
			c.Tick(time.Second, &fx)
			if len(fx.Orders) != 1 || fx.Orders[0].Kind != ReserveNode {
				t.Errorf("orders %v after a second, want another reservation", fx.Orders)
			}
			if err := c.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTwinIDs: a request id that is live already, with another function or another account, does not disturb the first.
func TestTwinIDs(t *testing.T) {
	c, lease := served(t)
	var fx Effects
	again, _, err := c.Acquire(2*time.Second, goodRequest("held"), &fx)
	if err != nil || again.Container != lease.Container || again.Served != lease.Served {
		t.Errorf("the same call again got %+v, %v; want its own lease", again, err)
	}
	other := goodRequest("held")
	other.Function.Name = "other"
	if _, ticket, err := c.Acquire(2*time.Second, other, &fx); err != nil || ticket.Seq == 0 {
		t.Errorf("the same id for another function got ticket %+v, %v; want a place in its own line", ticket, err)
	}
	stillServes(t, c, lease)
}
