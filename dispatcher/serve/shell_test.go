package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

func TestNewNeedsADriver(t *testing.T) {
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "driver") {
		t.Errorf("New without a driver = %v, want an error that says so", err)
	}
	if _, err := New(Options{Driver: newFake(), Core: dispatcher.Options{MaxWait: -1}}); err == nil || !strings.Contains(err.Error(), "MaxWait") {
		t.Errorf("New with a negative MaxWait = %v, want an error that says so", err)
	}
}

func TestAcquireWaitsForItsContainer(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		cold := mustAcquire(t, s, "r-1", "f")
		if want := c.reserveTakes + c.startIn; cold.Served != dispatcher.Cold || cold.Wait != want || s.Now() != want {
			t.Errorf("first call: %v after %v, at %v, want cold after %v", cold.Served, cold.Wait, s.Now(), want)
		}
		mustReturn(t, s, "r-1", cold)
		warm := mustAcquire(t, s, "r-2", "f")
		if warm.Served != dispatcher.Warm || warm.Wait != 0 || warm.ContainerID != cold.ContainerID {
			t.Errorf("second call: %+v, want container %s at once", warm, cold.ContainerID)
		}
		mustReturn(t, s, "r-2", warm)
	})
}

func TestAcquireWaitsForAReturn(t *testing.T) {
	bubble(t, Options{Core: dispatcher.Options{MaxNodes: 1}}, func(t *testing.T, s *Shell, c *fakeCluster) {
		whole := func(id string) dispatcher.Request {
			r := request(id, "f")
			r.Function.Memory, r.Concurrency = c.memory, 1
			return r
		}
		first, err := s.Acquire(t.Context(), whole("r-1"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() { _ = s.Return(returned("r-1", first)) }) // its error shows in second
		second, err := s.Acquire(t.Context(), whole("r-2"))
		if err != nil || second.Served != dispatcher.Waited || second.Wait != 3*time.Second {
			t.Errorf("a call of a busy function: %v after %v, %v, want waited, 3s", second.Served, second.Wait, err)
		}
		mustReturn(t, s, "r-2", second)
	})
}

func TestCallerLeavesTheLine(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		for _, tt := range []struct {
			claim string
			ctx   func() (context.Context, context.CancelFunc)
			want  error
			after time.Duration
		}{
			{"cancelled", func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(200*time.Millisecond, cancel)
				return ctx, cancel
			}, context.Canceled, 200 * time.Millisecond},
			{"out of time", func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), 300*time.Millisecond)
			}, context.DeadlineExceeded, 300 * time.Millisecond},
		} {
			ctx, cancel := tt.ctx()
			began := s.Now()
			l, err := s.Acquire(ctx, request(tt.claim, tt.claim))
			cancel()
			// The core knows the deadline, too, and may be the first to say so.
			if !errors.Is(err, tt.want) && !(tt.want == context.DeadlineExceeded && errors.Is(err, dispatcher.ErrDeadline)) || l.ContainerID != "" {
				t.Errorf("Acquire of a caller %s = %+v, %v, want %v", tt.claim, l, err, tt.want)
			}
			if d := s.Now() - began; d != tt.after {
				t.Errorf("Acquire of a caller %s took %v, want %v", tt.claim, d, tt.after)
			}
			time.Sleep(2 * time.Second) // the container comes
			if leased, waiting := totals(s); leased != 0 || waiting != 0 {
				t.Errorf("after a caller %s there are %d leases and %d waiting, want none", tt.claim, leased, waiting)
			}
		}
	})
}

// A caller leaves about when its container comes: it gets the lease or an error, and with an error no lease is left.
func TestCallerLeavesAsTheGrantComes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		for i := range 200 {
			id := fmt.Sprintf("r-%d", i)
			wait := c.startIn // a node is there from the second on
			if i == 0 {
				wait += c.reserveTakes
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(wait+time.Duration(i%3-1), cancel) // a nanosecond before, at the same time, after
			l, err := s.Acquire(ctx, request(id, id))
			cancel()
			synctest.Wait()
			leased, waiting := totals(s)
			switch {
			case err == nil:
				mustReturn(t, s, id, l)
			case !errors.Is(err, context.Canceled) || leased != 0 || waiting != 0:
				t.Fatalf("call %d: %v, with %d leases and %d waiting, want cancelled and none", i, err, leased, waiting)
			}
			time.Sleep(10 * time.Second) // what was started ends by itself
		}
	})
}

func TestPatienceEnds(t *testing.T) {
	bubble(t, Options{Core: dispatcher.Options{MaxWait: 3 * time.Second}}, func(t *testing.T, s *Shell, c *fakeCluster) {
		c.change(func() { c.refused = 1 << 30 })
		_, err := s.Acquire(t.Context(), request("r-1", "f"))
		if !errors.Is(err, dispatcher.ErrDeadline) || !strings.Contains(err.Error(), `"f"`) || s.Now() != 3*time.Second {
			t.Errorf("Acquire without any node = %v after %v, want %v after 3s", err, s.Now(), dispatcher.ErrDeadline)
		}
	})
}

// A start that fails is tried again after pauses that double, each up to half as long again.
func TestStartsBackOff(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		const failures = 4 // with one more the call would be refused
		c.change(func() { c.failing = failures })
		r := request("r-1", "f")
		r.Concurrency = 1
		l, err := s.Acquire(t.Context(), r)
		if err != nil || len(c.attempts) != failures+1 {
			t.Fatalf("Acquire = %v after %d starts, want a lease after %d", err, len(c.attempts), failures+1)
		}
		for i := range failures {
			pause := c.attempts[i+1].Sub(c.attempts[i]) - c.startIn
			least := 100 * time.Millisecond << i
			if most := least*3/2 + time.Millisecond; pause < least || pause > most {
				t.Errorf("pause %d after a failed start: %v, want %v to %v", i, pause, least, most)
			}
		}
		mustReturn(t, s, "r-1", l)
	})
}

// Calls survive a manager that has no node for a while, and one that does not answer for a while.
func TestManagerAwayThenBack(t *testing.T) {
	for claim, leave := range map[string]func(c *fakeCluster){
		"no node six times": func(c *fakeCluster) { c.refused = 6 },
		"no answer for 10s": func(c *fakeCluster) {
			c.away = make(chan struct{})
			time.AfterFunc(10*time.Second, func() { close(c.away) })
		},
	} {
		t.Run(claim, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
				c.change(func() { leave(c) })
				l := mustAcquire(t, s, "r-1", "f")
				if l.Wait > 20*time.Second {
					t.Errorf("the call waited %v, want less than 20s", l.Wait)
				}
				mustReturn(t, s, "r-1", l)
			})
		})
	}
}

func TestNodeIsLost(t *testing.T) {
	for _, tt := range []struct {
		claim string
		harm  func(c *fakeCluster, n *fakeNode)
		lost  bool
	}{
		{"three readings fail", func(_ *fakeCluster, n *fakeNode) { n.deaf = true }, true},
		{"two readings fail", func(_ *fakeCluster, n *fakeNode) { n.deafFor = 2 }, false},
		{"its readings are errors", func(_ *fakeCluster, n *fakeNode) { n.dumb = true }, false},
		{"another machine answers", func(_ *fakeCluster, n *fakeNode) { n.live = "another" }, true},
		{"it does not say which machine it is", func(_ *fakeCluster, n *fakeNode) { n.live = "" }, false},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
				l := mustAcquire(t, s, "r-1", "f")
				time.Sleep(2 * time.Second) // it was read
				n := c.only(t)
				c.change(func() { tt.harm(c, n) })
				time.Sleep(4 * time.Second)
				err := s.Return(returned("r-1", l))
				if lost := errors.Is(err, dispatcher.ErrUnknownLease); lost != tt.lost {
					t.Errorf("the lease's return = %v, want it lost: %v", err, tt.lost)
				}
				again := mustAcquire(t, s, "r-2", "f")
				if moved := again.Node.ID != l.Node.ID; moved != tt.lost {
					t.Errorf("the next call is on %s after %s, want another node: %v", again.Node.ID, l.Node.ID, tt.lost)
				}
				mustReturn(t, s, "r-2", again)
			})
		})
	}
}

// A broken connection at a start does not cost a node that answers when asked again; a deaf one goes at once, and
// the call is served elsewhere.
func TestStartMeetsADeafNode(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		mustReturn(t, s, "r-1", mustAcquire(t, s, "r-1", "f"))
		n := c.only(t)
		c.change(func() { n.deaf = true })
		began := s.Now()
		l := mustAcquire(t, s, "r-2", "g")
		if l.Node.ID == n.id || s.Now()-began > 2*time.Second {
			t.Errorf("the call was served on %s after %v, want another node than %s within 2s", l.Node.ID, s.Now()-began, n.id)
		}
		mustReturn(t, s, "r-2", l)
	})
}

func TestShutdownWaitsForRunningCalls(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		l := mustAcquire(t, s, "r-1", "f")
		late := make(chan error, 1)
		go func() {
			_, err := s.Acquire(context.Background(), request("r-2", "g"))
			late <- err
		}()
		time.Sleep(100 * time.Millisecond) // it stands in line
		time.AfterFunc(5*time.Second, func() { _ = s.Return(returned("r-1", l)) })
		began := s.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if d := s.Now() - began; d < 5*time.Second || d > 6*time.Second {
			t.Errorf("Shutdown took %v with a call that runs for 5s more", d)
		}
		if err := <-late; err == nil {
			t.Error("a call that waited was served by a scheduler that is stopping")
		}
		if _, err := s.Acquire(t.Context(), request("r-3", "f")); !errors.Is(err, dispatcher.ErrClosing) {
			t.Errorf("Acquire after Shutdown = %v, want %v", err, dispatcher.ErrClosing)
		}
	})
}

// A call that never returns costs the wait, not the node.
func TestShutdownReleasesNodesInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFake()
		s, err := New(Options{Driver: c})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		mustAcquire(t, s, "r-1", "f")
		limit, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		began := s.Now()
		if err := s.Shutdown(limit); err == nil || !strings.Contains(err.Error(), "1 nodes were still in use") {
			t.Errorf("Shutdown with a call that never returns = %v, want an error that says so", err)
		}
		if d := s.Now() - began; d > 4*time.Second {
			t.Errorf("Shutdown took %v, its limit was 3s", d)
		}
		stop()
		<-ended
		c.verify(t)
	})
}

// A manager that does not answer does not hold up the end for long.
func TestShutdownWithoutAManager(t *testing.T) {
	bubble(t, Options{Core: dispatcher.Options{MaxWait: time.Second}}, func(t *testing.T, s *Shell, c *fakeCluster) {
		c.change(func() { c.away = make(chan struct{}) })
		if l, err := s.Acquire(t.Context(), request("r-1", "f")); err == nil {
			t.Fatalf("Acquire without a manager = %+v", l)
		}
		began := s.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if d := s.Now() - began; d > lastAnswer+time.Second {
			t.Errorf("Shutdown took %v with a manager that does not answer, want about %v", d, lastAnswer)
		}
	})
}

// A node that is reserved when everything is over is given back.
func TestReservationAnsweredTooLate(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		c.reserveTakes = 2 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Acquire(ctx, request("r-1", "f")); err == nil {
			t.Fatal("Acquire was served in 1s by a manager that takes 2s")
		}
	})
}

func TestOrdersAreRecorded(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		mustReturn(t, s, "r-1", mustAcquire(t, s, "r-1", "f"))
		rs, _ := s.Records().Since(0)
		if len(rs) < 2 || rs[0].Order.Kind != dispatcher.ReserveNode || rs[1].Order.Kind != dispatcher.StartContainer ||
			rs[1].At != c.reserveTakes || rs[1].Order.Why.Cause != dispatcher.CauseWaiting {
			t.Errorf("records of a first call: %+v, want a reservation at 0 and a start at %v for a waiting call", rs, c.reserveTakes)
		}
		if at := s.At(time.Hour).Sub(s.At(0)); at != time.Hour {
			t.Errorf("At(1h) is %v after At(0)", at)
		}
	})
}

// Whoever asks with the id of a call that waits or runs gets its lease, which one return ends.
func TestDuplicateAcquiresShareALease(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		leases := make(chan dispatcher.Lease, 3)
		for range cap(leases) {
			go func() {
				l, err := s.Acquire(t.Context(), request("twin", "f"))
				if err != nil {
					t.Errorf("Acquire = %v", err)
				}
				leases <- l
			}()
		}
		first := <-leases
		for range cap(leases) - 1 {
			if l := <-leases; l.ContainerID != first.ContainerID {
				t.Errorf("leases of one request: %s and %s, want the same", first.ContainerID, l.ContainerID)
			}
		}
		mustReturn(t, s, "twin", first)
		if err := s.Return(returned("twin", first)); !errors.Is(err, dispatcher.ErrUnknownLease) {
			t.Errorf("a second return = %v, want %v", err, dispatcher.ErrUnknownLease)
		}
	})
}

// Hurry is poked when a planner should read, and never blocks where none does.
func TestNewsAndLevels(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Shell, c *fakeCluster) {
		l := mustAcquire(t, s, "r-1", "f")
		mustReturn(t, s, "r-1", l)
		var news dispatcher.News
		now := s.News(&news)
		if len(news.Functions) != 1 || len(news.Functions[0].Events) != 2 || now != s.Now() {
			t.Fatalf("News at %v = %+v, want two events of one function", now, news)
		}
		level := dispatcher.Level{Fn: l.Fn, Want: 3, Seen: news.Functions[0].Seq, Worth: 1}
		if err := s.SetLevel(level); err != nil {
			t.Fatal(err)
		}
		if err := s.SetNodes(dispatcher.NodeTarget{Want: 2}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		i, _ := s.Core().Function(s.Now(), l.Fn)
		if nodes := len(s.Core().Cluster(s.Now()).Nodes); i.Want != 3 || i.Ready < 1 || nodes != 2 {
			t.Errorf("a second after 3 levels and 2 nodes were wanted: %d wanted, %d ready, %d nodes", i.Want, i.Ready, nodes)
		}
		if err := s.SetLevel(dispatcher.Level{Fn: 99}); err == nil {
			t.Error("SetLevel of a function that is not there was taken")
		}
		if err := s.SetNodes(dispatcher.NodeTarget{Want: -1}); err == nil {
			t.Error("SetNodes(-1) was taken")
		}
	})
}
