package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// An idle container is idle after a restart, a busy one is busy until its call returns it.
func TestContainersAreAdopted(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		idle, busy := l.acquire("r-1", "idle"), l.acquire("r-2", "busy")
		l.giveBack("r-1", idle)
		settled()
		l.restart()
		if want := (Recovered{Nodes: 1, Containers: 2, Leases: 1}); l.sum != want {
			t.Errorf("recovered: %+v, want %+v", l.sum, want)
		}
		again := l.acquire("r-3", "idle")
		if again.ContainerID != idle.ContainerID || again.Served != dispatcher.Warm {
			t.Errorf("a call after the restart: %v in %s, want warm in %s", again.Served, again.ContainerID, idle.ContainerID)
		}
		l.giveBack("r-3", again)
		if other := l.acquire("r-4", "busy"); other.ContainerID == busy.ContainerID {
			t.Errorf("a second call got %s, which runs one of before the restart", busy.ContainerID)
		} else {
			l.giveBack("r-4", other)
		}
		l.giveBack("r-2", busy) // of before the restart
		if err := l.shell.Return(returned("r-2", busy)); !errors.Is(err, dispatcher.ErrUnknownLease) {
			t.Errorf("a second return of a lease of before the restart = %v, want %v", err, dispatcher.ErrUnknownLease)
		}
		if leased, _ := totals(l.shell); leased != 0 {
			t.Errorf("%d leases after all were returned, want none", leased)
		}
	})
}

// A lease of before the restart that nobody returns ends with its function's timeout and the grace.
func TestLeasesOfBeforeExpire(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		l.acquire("r-1", "f")
		settled()
		l.restart()
		time.Sleep(14 * time.Second)
		if leased, _ := totals(l.shell); leased != 1 {
			t.Errorf("%d leases 14s after the restart, want the one of before: the timeout is 5s and the grace 10s", leased)
		}
		time.Sleep(2 * time.Second)
		if leased, _ := totals(l.shell); leased != 0 || len(l.c.only(t).containers) != 0 {
			t.Errorf("%d leases and %d containers 16s after the restart, want none", leased, len(l.c.only(t).containers))
		}
	})
}

// Without the file of lease counts every container counts as full: never one lease too many.
func TestUnknownCountsAreFull(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		first := l.acquire("r-1", "f")
		l.giveBack("r-1", first)
		settled()
		l.kill()
		for i := range l.counts {
			l.counts[i] = 0
		}
		l.beginWith(func() {
			for i := range l.found.Containers { // as the scheduler does for a fresh file
				l.found.Containers[i].Slot = -1
			}
		})
		if l.sum.Leases != 1 {
			t.Errorf("recovered: %+v, want one lease, of a container whose count is not known", l.sum)
		}
		second := l.acquire("r-2", "f")
		if second.ContainerID == first.ContainerID {
			t.Error("a container whose leases are not known was leased")
		}
		l.giveBack("r-2", second)
	})
}

// A container whose start was answered to nobody is found by its name when it is there, and removed when it comes up late.
func TestLostAnswerOfAStart(t *testing.T) {
	for _, tt := range []struct {
		claim   string
		dead    time.Duration // between the kill and the restart
		adopted int
	}{{"it is up by then", 2 * time.Second, 1}, {"it comes up later", 0, 0}} {
		t.Run(tt.claim, func(t *testing.T) {
			inLives(t, Options{}, func(l *lives) {
				l.giveBack("r-1", l.acquire("r-1", "other"))
				go l.shell.Acquire(l.ctx, request("r-2", "f"))
				time.Sleep(100 * time.Millisecond) // its start takes 500
				l.kill()
				time.Sleep(tt.dead)
				l.begin()
				if l.sum.Containers != 1+tt.adopted {
					t.Errorf("recovered: %+v, want %d containers", l.sum, 1+tt.adopted)
				}
				time.Sleep(5 * time.Second)
				if n := len(l.c.only(t).containers); n != 1+tt.adopted {
					t.Errorf("%d containers are there 5s later, want %d", n, 1+tt.adopted)
				}
			})
		})
	}
}

// A reservation whose answer was lost is asked for again by its id: the manager gives the same node.
func TestLostAnswerOfAReservation(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		go l.shell.Acquire(l.ctx, request("r-1", "f"))
		time.Sleep(20 * time.Millisecond) // it takes 50
		l.restart()
		if l.sum.Nodes != 1 || l.sum.Unanswered != 1 || l.c.last != 1 {
			t.Errorf("recovered: %+v, and %d nodes were lent in all, want the one asked for again", l.sum, l.c.last)
		}
	})
}

// The same while the manager is away: it does not hold up the start, and the node is given back in the end.
func TestLostReservationWithoutAManager(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		go l.shell.Acquire(l.ctx, request("r-1", "f"))
		time.Sleep(20 * time.Millisecond)
		l.kill()
		time.Sleep(time.Second) // the node is lent by now
		back := make(chan struct{})
		l.c.change(func() { l.c.away = back })
		l.begin()
		if l.took > 2*time.Second {
			t.Errorf("the start took %v without a manager", l.took)
		}
		time.Sleep(20 * time.Second)
		close(back)
		l.c.change(func() { l.c.away = nil })
		time.Sleep(40 * time.Second)
		if n := l.c.held(); n != 0 {
			t.Errorf("%d nodes are held after the manager came back, want none", n)
		}
	})
}

// A machine that was handed out anew is somebody else's: nothing is done to it.
func TestNodeHandedOutAnew(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		l.giveBack("r-1", l.acquire("r-1", "f"))
		time.Sleep(3 * time.Second) // it was read
		n := l.c.only(t)
		l.kill()
		l.c.change(func() { n.live = "another's" })
		l.begin()
		if l.sum.NodesGone != 1 || l.sum.Nodes != 0 || l.c.only(t) != n || len(n.containers) != 1 {
			t.Errorf("recovered: %+v with %d containers on the node, want it forgotten and left alone", l.sum, len(n.containers))
		}
		l.c.change(func() { delete(l.c.nodes, n.id) }) // it is not ours to give back
	})
}

func TestNodeThatListsNothing(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		first := l.acquire("r-1", "f")
		l.giveBack("r-1", first)
		settled()
		l.kill()
		l.c.change(func() { l.c.lists = false })
		l.begin()
		if again := l.acquire("r-2", "f"); again.ContainerID != first.ContainerID {
			t.Errorf("a call got %s, want %s: a node that lists nothing proves nothing", again.ContainerID, first.ContainerID)
		} else {
			l.giveBack("r-2", again)
		}
	})
}

// A node that does not answer is given back, with a manager that is away at first, too.
func TestSilentNodeIsReleased(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		l.giveBack("r-1", l.acquire("r-1", "f"))
		settled()
		l.kill()
		back := make(chan struct{})
		l.c.change(func() { l.c.anyNode().deaf, l.c.away = true, back })
		l.begin()
		if l.sum.NodesGone != 1 || l.took > 2*time.Second {
			t.Errorf("recovered: %+v after %v, want a node gone within 2s", l.sum, l.took)
		}
		time.Sleep(10 * time.Second)
		close(back)
		l.c.change(func() { l.c.away = nil })
		time.Sleep(40 * time.Second)
		if n := l.c.held(); n != 0 {
			t.Errorf("%d nodes are held, want the silent one released", n)
		}
	})
}

func TestUnknownContainersAreRemoved(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		l.giveBack("r-1", l.acquire("r-1", "f"))
		settled()
		l.kill()
		l.c.change(func() { l.c.anyNode().containers["nobody's"] = 0 })
		l.begin()
		if l.sum.Strays != 1 || l.sum.Containers != 1 || len(l.c.only(t).containers) != 1 {
			t.Errorf("recovered: %+v with %d containers left, want one adopted and one removed", l.sum, len(l.c.only(t).containers))
		}
	})
}

// With the state damaged, the manager says which nodes there are; what runs on them is nobody's.
func TestClusterIsFoundWithoutState(t *testing.T) {
	inLives(t, Options{}, func(l *lives) {
		l.giveBack("r-1", l.acquire("r-1", "f"))
		settled()
		l.kill()
		if err := os.WriteFile(l.path, []byte("scribbled over"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.begin()
		if l.found.Moved == "" || l.sum.Discovered != 1 || l.sum.Nodes != 1 || l.sum.Strays != 1 || len(l.c.only(t).containers) != 0 {
			t.Errorf("recovered: %+v from a file moved to %q, with %d containers left, want the node found and emptied", l.sum, l.found.Moved, len(l.c.only(t).containers))
		}
		if lease := l.acquire("r-2", "f"); lease.Node.ID != "node-1" {
			t.Errorf("a call after that is on %s, want the node that was found", lease.Node.ID)
		} else {
			l.giveBack("r-2", lease)
		}
	})
}

// A thousand containers on fifty nodes are taken over within two seconds, though each reading takes a tenth.
func TestThousandContainersAreAdopted(t *testing.T) {
	inLives(t, Options{Core: dispatcher.Options{MaxNodes: 50}}, func(l *lives) {
		l.c.cap, l.c.startIn = 50, 10*time.Millisecond
		l.c.memory = 20 << 28
		type one struct {
			id    string
			lease dispatcher.Lease
		}
		got := make(chan one, 1000)
		for i := range cap(got) {
			go func() {
				r := request(fmt.Sprintf("r-%d", i), fmt.Sprintf("f-%d", i%100))
				r.Concurrency = 1
				lease, err := l.shell.Acquire(context.Background(), r)
				if err != nil {
					t.Errorf("Acquire %d = %v", i, err)
				}
				got <- one{r.ID, lease}
			}()
		}
		var all []one
		for range cap(got) {
			all = append(all, <-got)
		}
		settled()
		l.kill()
		l.c.change(func() {
			for _, n := range l.c.nodes {
				n.slow = 100 * time.Millisecond
			}
		})
		l.begin()
		if l.sum.Containers != 1000 || l.sum.Leases != 1000 || l.took > 2*time.Second {
			t.Errorf("recovered: %+v after %v, want 1000 containers and leases within 2s", l.sum, l.took)
		}
		for _, o := range all {
			l.giveBack(o.id, o.lease)
		}
	})
}

func TestRecoveredInWords(t *testing.T) {
	if s := (Recovered{Nodes: 2, Strays: 3}).String(); !strings.Contains(s, "2 nodes") || !strings.Contains(s, "3 strays") {
		t.Errorf("String = %q", s)
	}
}
