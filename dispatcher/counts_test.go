package dispatcher

import (
	"errors"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// TestRefusedWaitsAreCounted ends a wait by a pause: like every call that gets no container it is counted once.
func TestRefusedWaitsAreCounted(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	r := Request{ID: "r", Function: cluster.Function{Name: "f", Memory: 128 * cluster.MiB}}
	_, ticket, err := c.Acquire(time.Second, r, &fx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetLimits(2*time.Second, ticket.Fn, Limits{Paused: true}, &fx); err != nil {
		t.Fatal(err)
	}
	if len(fx.Grants) != 1 || !errors.Is(fx.Grants[0].Err, ErrPaused) {
		t.Fatalf("grants %+v, want one that says that the function is paused", fx.Grants)
	}
	i, _ := c.Function(2*time.Second, ticket.Fn)
	if n := &i.Count; n.Refused != 1 || n.TimedOut+n.Cancelled+n.Warm+n.Waited+n.Cold != 0 {
		t.Errorf("counts %+v, want one refused", *n)
	}
}
