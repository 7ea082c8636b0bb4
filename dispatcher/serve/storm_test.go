package serve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// users counts who holds each container, from the callers' side.
type users struct {
	mu sync.Mutex
	n  map[string]int // guarded by mu
}

func (u *users) add(container string, d int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n[container] += d
	return u.n[container]
}

// Sixty-four callers acquire and return, leave early, report failures and return twice, while nodes fall silent,
// starts fail and there is no node at times. No container has more users than it may, and nothing is left.
func TestStorm(t *testing.T) {
	const callers, maxNodes = 64, 6
	calls := 150
	if testing.Short() {
		calls = 40
	}
	o := Options{Core: dispatcher.Options{MaxNodes: maxNodes}, Concurrency: func(_, name string) int { return int(name[0]-'a')%3 + 1 }}
	bubble(t, o, func(t *testing.T, s *Shell, c *fakeCluster) {
		c.cap = maxNodes + 1 // one that was lost may still be on its way back
		held := &users{n: map[string]int{}}
		storm, calm := context.WithCancel(t.Context())
		var weather, wg sync.WaitGroup
		weather.Go(func() { harm(storm, c) })
		for i := range callers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(64, uint64(i)))
				for k := range calls {
					visit(t, s, held, rng, fmt.Sprintf("r-%d-%d", i, k))
				}
			})
		}
		wg.Wait()
		calm()
		weather.Wait()
		if leased, waiting := totals(s); leased != 0 || waiting != 0 {
			t.Errorf("when all callers had gone: %d leases and %d waiting, want none", leased, waiting)
		}
		if i := s.Core().Cluster(s.Now()); i.Peak > maxNodes || c.peak > c.cap || i.Lost == 0 {
			t.Errorf("peak of %d nodes of our books and %d of the cluster's, cap %d; %d were lost, want some", i.Peak, c.peak, maxNodes, i.Lost)
		}
	})
}

// visit is one call, more or less well behaved.
func visit(t *testing.T, s *Shell, held *users, rng *rand.Rand, id string) {
	name := string(rune('a' + rng.IntN(12)))
	r := request(id, name)
	r.Concurrency = s.opts.Concurrency("acc", name)
	r.Function.Memory = 128 << (int(name[0]) % 3) * cluster.MiB
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(100+rng.IntN(60_000))*time.Millisecond)
	defer cancel()
	l, err := s.Acquire(ctx, r)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, dispatcher.ErrDeadline) && !errors.Is(err, dispatcher.ErrNoStart) {
			t.Errorf("Acquire(%s, %s) = %v", id, name, err)
		}
		return
	}
	if n := held.add(l.ContainerID, 1); n > r.Concurrency {
		t.Errorf("%d calls hold container %s of %s, at most %d may", n, l.ContainerID, name, r.Concurrency)
	}
	time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
	held.add(l.ContainerID, -1)
	back := returned(id, l)
	back.Failed = rng.IntN(20) == 0
	for range 1 + rng.IntN(2) {
		if err := s.Return(back); err != nil && !errors.Is(err, dispatcher.ErrUnknownLease) {
			t.Errorf("Return(%s) = %v", id, err)
		}
	}
}

// harm makes bad weather until ctx ends.
func harm(ctx context.Context, c *fakeCluster) {
	rng := rand.New(rand.NewPCG(64, 64))
	for pause(ctx, time.Duration(rng.IntN(2000))*time.Millisecond) == nil {
		c.change(func() {
			switch rng.IntN(4) {
			case 0:
				c.refused = rng.IntN(3)
			case 1:
				c.failing = rng.IntN(3)
			default:
				for _, n := range c.nodes { // any one
					n.deaf = true
					break
				}
			}
		})
	}
	c.change(func() { c.refused, c.failing = 0, 0 })
}
