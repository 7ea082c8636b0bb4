package dispatcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// TestOneDueEntryAFunction holds one long lease while other calls of the function wait in vain, again and again: each
// wait has an end that comes before the lease's, and none may leave an entry behind.
func TestOneDueEntryAFunction(t *testing.T) {
	c, err := New(Options{MaxNodes: 1, NodeMemory: 128 * cluster.MiB})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	now := time.Second
	request := func(id string) Request {
		return Request{ID: id, Concurrency: 1, Deadline: now + 50*time.Millisecond,
			Function: cluster.Function{Account: "a", Name: "long", Memory: 128 * cluster.MiB, Timeout: 24 * time.Hour}}
	}
	// carryOut answers the only order there is.
	carryOut := func(kind OrderKind) (id uint64) {
		t.Helper()
		if len(fx.Orders) != 1 || fx.Orders[0].Kind != kind {
			t.Fatalf("orders %+v, want one of kind %v", fx.Orders, kind)
		}
		id = fx.Orders[0].ID
		fx.Reset()
		return id
	}
	if _, _, err := c.Acquire(now, request("first"), &fx); err != nil {
		t.Fatal(err)
	}
	if err := c.NodeReady(now, carryOut(ReserveNode), cluster.Node{ID: "n", Memory: 128 * cluster.MiB}, &fx); err != nil {
		t.Fatal(err)
	}
	if err := c.Started(now, carryOut(StartContainer), "c", &fx); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if _, _, err := c.Acquire(now, request(fmt.Sprint(i)), &fx); err != nil {
			t.Fatal(err)
		}
		now += 100 * time.Millisecond
		c.Tick(now, &fx)
		fx.Reset()
	}
	if s := c.Sizes(); s.Due > s.Functions || s.Calls != 1 {
		t.Errorf("%+v after 1000 waits that ended, want one due entry and the one call", s)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}
