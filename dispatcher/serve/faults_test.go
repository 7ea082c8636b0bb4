package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// The manager is away for a minute: warm calls go on, a call that needs a node is refused in its time, and when the
// manager is back nothing storms it.
func TestManagerAwayForAMinute(t *testing.T) {
	bubble(t, Options{Core: dispatcher.Options{MaxWait: 30 * time.Second}}, func(t *testing.T, s *Shell, c *fakeCluster) {
		warm := func(i int) dispatcher.Lease {
			r := request(fmt.Sprintf("warm-%d", i), "warm")
			r.Concurrency = 2
			l, err := s.Acquire(t.Context(), r)
			if err != nil {
				t.Fatalf("call %d of a function that is warm: %v", i, err)
			}
			return l
		}
		last := warm(0)
		back := make(chan struct{})
		c.change(func() { c.away, c.asked = back, nil })
		var wg sync.WaitGroup
		for i := range 50 { // fifty functions of half a node: they would need many nodes
			wg.Go(func() {
				r := request(fmt.Sprintf("cold-%d", i), fmt.Sprintf("f-%d", i))
				r.Function.Memory, r.Concurrency = c.memory/2, 1
				l, err := s.Acquire(t.Context(), r)
				switch {
				case err == nil:
					mustReturn(t, s, r.ID, l)
				case !errors.Is(err, dispatcher.ErrDeadline):
					t.Errorf("a call that needs a node: %v, want it to wait or to run out of time", err)
				}
			})
		}
		for i := range 60 { // one call or two at a time: an idle container would give way to those that wait
			time.Sleep(time.Second)
			next := warm(i + 1)
			if next.Served != dispatcher.Warm {
				t.Errorf("after %ds without a manager a call was %v, want warm", i, next.Served)
			}
			mustReturn(t, s, fmt.Sprintf("warm-%d", i), last)
			last = next
		}
		mustReturn(t, s, "warm-60", last)
		close(back)
		c.change(func() { c.away = nil })
		wg.Wait()
		late := mustAcquire(t, s, "late", "late")
		mustReturn(t, s, "late", late)
		if n := len(c.asked); n > 100 {
			t.Errorf("%d reservations were asked for in a minute without a manager and after it, want 100 at most", n)
		}
	})
}

// A node dies under load: within a second of the first sign it is off the books, and the calls that wait are served
// elsewhere.
func TestNodeDiesUnderLoad(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for k := range 40 {
					r := request(fmt.Sprintf("r-%d-%d", i, k), "f")
					r.Concurrency = 1
					l, err := s.Acquire(t.Context(), r)
					if err != nil {
						t.Errorf("Acquire(%s) = %v", r.ID, err)
						return
					}
					time.Sleep(150 * time.Millisecond)
					_ = s.Return(returned(r.ID, l)) // its node may be gone
				}
			})
		}
		time.Sleep(3*time.Second + 10*time.Millisecond)
		c.change(func() { c.anyNode().deaf = true })
		time.Sleep(2 * time.Second) // the next reading comes within one, and two more follow it within another
		i := s.Core().Cluster(s.Now())
		if i.Lost != 1 {
			t.Errorf("%d nodes were lost 2s after one died, want 1", i.Lost)
		}
		wg.Wait()
	})
}

// A node that takes its time to tell what it has is no lost node; one that takes longer than a period is.
func TestSlowNode(t *testing.T) {
	for takes, want := range map[time.Duration]int{300 * time.Millisecond: 0, time.Hour: 1} {
		bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
			mustReturn(t, s, "r-1", mustAcquire(t, s, "r-1", "f"))
			c.change(func() { c.anyNode().slow = takes })
			time.Sleep(6 * time.Second)
			if i := s.Core().Cluster(s.Now()); int(i.Lost) != want {
				t.Errorf("%d nodes were lost of one that answers after %v, want %d", i.Lost, takes, want)
			}
		})
	}
}

// A start that hangs is given up with its order's time, and the call is served by the next.
func TestStartHangs(t *testing.T) {
	bubble(t, Options{OrderTimeout: 2 * time.Second}, func(t *testing.T, s *Shell, c *fakeCluster) {
		c.change(func() { c.startIn = time.Hour })
		time.AfterFunc(time.Second, func() { c.change(func() { c.startIn = 100 * time.Millisecond }) })
		r := request("r-1", "f")
		r.Concurrency = 1
		l, err := s.Acquire(t.Context(), r)
		if err != nil || l.Wait > 4*time.Second {
			t.Fatalf("a call whose first start hangs: %v after %v, want a container within 4s", err, l.Wait)
		}
		mustReturn(t, s, "r-1", l)
	})
}

// Calls of a function whose start always fails fail fast, with what its start said; others are not touched by it, and
// when it starts again its calls are served.
func TestCircuit(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		mustReturn(t, s, "g", mustAcquire(t, s, "g", "g"))
		c.change(func() { c.failing = 1 << 30 })
		first := s.Now()
		_, err := s.Acquire(t.Context(), request("r-0", "f"))
		if !errors.Is(err, dispatcher.ErrNoStart) || !strings.Contains(err.Error(), "the program does not start") || s.Now()-first > 15*time.Second {
			t.Fatalf("the first call of a function that does not start: %v after %v, want %v and the reason", err, s.Now()-first, dispatcher.ErrNoStart)
		}
		refused := 0
		for i := range 20 {
			began := s.Now()
			if _, err := s.Acquire(t.Context(), request(fmt.Sprintf("r-%d", i+1), "f")); !errors.Is(err, dispatcher.ErrNoStart) {
				t.Errorf("call %d of it: %v, want %v", i, err, dispatcher.ErrNoStart)
			} else if s.Now() == began {
				refused++
			}
			id := fmt.Sprintf("g-%d", i)
			mustReturn(t, s, id, mustAcquire(t, s, id, "g"))
			time.Sleep(300 * time.Millisecond)
		}
		if refused < 15 {
			t.Errorf("%d of 20 calls were refused at once, want 15 or more", refused)
		}
		c.change(func() { c.failing = 0 })
		time.Sleep(8 * time.Second) // longer than any pause
		mustReturn(t, s, "r-last", mustAcquire(t, s, "r-last", "f"))
	})
}

// Ten times as many calls of one function as can be served: its line is bounded, those beyond it are told when to
// come again, and another function's warm calls do not wait.
func TestOverload(t *testing.T) {
	const line = 40
	o := Options{Core: dispatcher.Options{MaxNodes: 1, MaxLine: line, MaxWait: 5 * time.Second}}
	bubble(t, o, func(t *testing.T, s *Shell, c *fakeCluster) {
		mustReturn(t, s, "w", mustAcquire(t, s, "w", "warm"))
		over, stop := context.WithCancel(t.Context())
		var mu sync.Mutex
		refused, served := 0, 0
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				for k := 0; over.Err() == nil; k++ {
					r := request(fmt.Sprintf("r-%d-%d", i, k), "flooded")
					r.Concurrency = 1
					l, err := s.Acquire(t.Context(), r)
					mu.Lock()
					if err == nil {
						served++
					} else {
						refused++
					}
					mu.Unlock()
					switch after, ok := dispatcher.RetryAfter(err); {
					case err == nil:
						time.Sleep(200 * time.Millisecond)
						mustReturn(t, s, r.ID, l)
					case errors.Is(err, dispatcher.ErrLineFull) && ok && after > 0:
						time.Sleep(after)
					case !errors.Is(err, dispatcher.ErrDeadline):
						t.Errorf("a call in excess: %v (try again after %v), want it refused with a hint", err, after)
						return
					}
				}
			})
		}
		for i := range 100 {
			time.Sleep(100 * time.Millisecond)
			id := fmt.Sprintf("w-%d", i)
			l := mustAcquire(t, s, id, "warm")
			if l.Served != dispatcher.Warm {
				t.Errorf("call %d of the other function was %v, want warm", i, l.Served)
			}
			mustReturn(t, s, id, l)
			if _, waiting := totals(s); waiting > line {
				t.Fatalf("%d calls wait, at most %d may", waiting, line)
			}
		}
		stop()
		wg.Wait()
		if refused == 0 || served < 200 {
			t.Errorf("%d calls were served and %d refused in ten seconds, want 200 or more and some", served, refused)
		}
	})
}

// On the wire the hint is a RetryInfo.
func TestRetryHintOnTheWire(t *testing.T) {
	_, _, client := onTheWire(t, Options{Core: dispatcher.Options{MaxNodes: 1, MaxLine: 1}, Concurrency: func(string, string) int { return 1 }})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	codesSeen := make(chan error, 60)
	for i := range cap(codesSeen) {
		go func() {
			_, err := client.AcquireContainer(ctx, acquireRequest(fmt.Sprintf("r-%d", i)))
			codesSeen <- err
			if err != nil {
				cancel() // the one in line need not wait for the others
			}
		}()
	}
	for range cap(codesSeen) {
		s := status.Convert(<-codesSeen)
		if s.Code() != codes.ResourceExhausted {
			continue
		}
		if info, ok := s.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() <= 0 {
			t.Errorf("details of a refusal: %v, want a RetryInfo with a delay", s.Details())
		}
		return
	}
	t.Error("none of 60 calls at once was refused by a line of one")
}

// Whoever acquires and never returns costs its container for the function's timeout and the grace, and no longer.
func TestCallersThatNeverReturn(t *testing.T) {
	bubble(t, Options{Core: dispatcher.Options{MaxNodes: 1, MaxWait: time.Minute}}, func(t *testing.T, s *Shell, c *fakeCluster) {
		whole := func(id string) dispatcher.Request {
			r := request(id, "f")
			r.Function.Memory, r.Function.Timeout, r.Concurrency = c.memory, 5*time.Second, 1
			return r
		}
		if _, err := s.Acquire(t.Context(), whole("r-1")); err != nil {
			t.Fatal(err)
		}
		began := s.Now()
		l, err := s.Acquire(t.Context(), whole("r-2"))
		if took := s.Now() - began; err != nil || took < 15*time.Second || took > 17*time.Second {
			t.Fatalf("the call after one that never returned: %v after %v, want a new container after 15s", err, took)
		}
		mustReturn(t, s, "r-2", l)
	})
}

// A burst meets a node that is being emptied: all of it is served, and the node goes.
func TestDrainUnderABurst(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		first := mustAcquire(t, s, "r-0", "f")
		id := s.Core().Cluster(s.Now()).Nodes[0].ID
		if n, err := s.DrainNode(id, false); err != nil || n != 1 {
			t.Fatalf("DrainNode = %d, %v, want one container", n, err)
		}
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				r := request(fmt.Sprintf("r-%d", i+1), "f")
				r.Concurrency = 1
				l, err := s.Acquire(t.Context(), r)
				if err != nil {
					t.Errorf("a call of the burst: %v", err)
					return
				}
				time.Sleep(time.Second)
				mustReturn(t, s, r.ID, l)
			})
		}
		wg.Wait()
		mustReturn(t, s, "r-0", first)
		time.Sleep(10 * time.Second)
		for _, n := range s.Core().Cluster(s.Now()).Nodes {
			if n.ID == id {
				t.Errorf("the node that was to be emptied is still there: %+v", n)
			}
		}
	})
}

// forgetful is a manager that does not know its nodes any more: it was started anew.
type forgetful struct{ *fakeCluster }

func (f forgetful) ReleaseNode(context.Context, string, *cluster.Node) error {
	return fmt.Errorf("fake: what node? %w", cluster.ErrNodeLost)
}

// A node that its manager does not know needs no release: it is not asked for again and again, nor waited for.
func TestReleaseOfANodeNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFake()
		s, err := New(Options{Driver: forgetful{c}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = s.Run(ctx) }()
		mustReturn(t, s, "r-1", mustAcquire(t, s, "r-1", "f"))
		limit, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := s.Shutdown(limit); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		stop()
		<-ended
	})
}
