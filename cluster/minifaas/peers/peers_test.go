package peers

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/connectivity"
)

func closed(c *Conn) bool { return c.GetState() == connectivity.Shutdown }

func get(t *testing.T, p *Pool, addr string) *Conn {
	t.Helper()
	c, err := p.Get(addr)
	if err != nil {
		t.Fatalf("Get(%q): %v", addr, err)
	}
	return c
}

func TestOneConnectionPerAddress(t *testing.T) {
	p := New()
	defer p.Close()
	a, again, b := get(t, p, "a:1"), get(t, p, "a:1"), get(t, p, "b:1")
	if a != again || a == b {
		t.Errorf("Get twice of one address and once of another gave %p, %p, %p", a, again, b)
	}
}

func TestDropWaitsForTheLastUser(t *testing.T) {
	p := New()
	defer p.Close()
	now := time.Unix(0, 0)
	c := get(t, p, "a:1")
	get(t, p, "a:1")
	p.Drop("a:1")
	p.Put(c, now)
	if closed(c) {
		t.Error("closed while one call was left")
	}
	if anew := get(t, p, "a:1"); anew == c {
		t.Error("a dropped connection was handed out again")
	}
	p.Put(c, now)
	if !closed(c) {
		t.Error("still open after its last call")
	}
}

func TestDropClosesTheUnused(t *testing.T) {
	p := New()
	c := get(t, p, "a:1")
	p.Put(c, time.Unix(0, 0))
	p.Drop("a:1")
	p.Drop("a:1")
	p.Drop("never:1")
	if !closed(c) || p.Len() != 0 {
		t.Errorf("after Drop: closed %v, %d left", closed(c), p.Len())
	}
}

func TestRetireSparesTheSuccessor(t *testing.T) {
	p := New()
	defer p.Close()
	one, two := get(t, p, "a:1"), get(t, p, "a:1") // two calls over one connection, both of which fail
	p.Retire(one)
	p.Put(one, time.Unix(0, 0))
	successor := get(t, p, "a:1")
	p.Retire(two)
	p.Put(two, time.Unix(0, 0))
	if !closed(one) || closed(successor) {
		t.Errorf("failed one closed %v, its successor closed %v", closed(one), closed(successor))
	}
	if got := get(t, p, "a:1"); got != successor {
		t.Error("the second failure retired the connection that replaced the first")
	}
}

func TestSweepClosesOnlyTheIdle(t *testing.T) {
	p := New()
	defer p.Close()
	now := time.Unix(100, 0)
	old, fresh, busy := get(t, p, "old:1"), get(t, p, "fresh:1"), get(t, p, "busy:1")
	p.Put(old, now.Add(-time.Minute))
	p.Put(fresh, now.Add(-time.Minute+1))
	p.Sweep(now, time.Minute)
	if !closed(old) || closed(fresh) || closed(busy) || p.Len() != 2 {
		t.Errorf("Sweep closed old %v, fresh %v, busy %v; %d left", closed(old), closed(fresh), closed(busy), p.Len())
	}
}

func TestClose(t *testing.T) {
	p := New()
	c := get(t, p, "a:1")
	p.Close()
	if _, err := p.Get("a:1"); !errors.Is(err, ErrClosed) || !closed(c) {
		t.Errorf("Get after Close: %v; closed: %v", err, closed(c))
	}
	p.Put(c, time.Unix(0, 0))
	p.Close()
}

func TestWarmUseDoesNotAllocate(t *testing.T) {
	p := New()
	defer p.Close()
	p.Put(get(t, p, "a:1"), time.Unix(0, 0))
	n := testing.AllocsPerRun(1000, func() {
		c, _ := p.Get("a:1")
		p.Put(c, time.Unix(0, 0))
	})
	if n != 0 {
		t.Errorf("Get+Put: %v allocs, want 0", n)
	}
}
