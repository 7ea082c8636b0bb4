package serve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// crowd are callers that outlive schedulers: they return to the next one what they got from the last.
type crowd struct {
	*lives
	mu                   sync.Mutex
	shell                *Shell        // that answers; nil while none does; guarded by mu, as what follows
	dying                chan struct{} // closed when it is killed
	held                 users
	served, lost, failed int
	problems             []string
}

func (c *crowd) serveWith(s *Shell) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shell = s
	if s != nil {
		c.dying = make(chan struct{})
	} else {
		close(c.dying)
	}
}

// reach waits for a scheduler that answers, and gives a context that ends when it dies.
func (c *crowd) reach() (*Shell, context.Context, context.CancelFunc) {
	for {
		c.mu.Lock()
		s, dying := c.shell, c.dying
		c.mu.Unlock()
		if s != nil {
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				select {
				case <-dying:
					cancel()
				case <-ctx.Done():
				}
			}()
			return s, ctx, cancel
		}
		time.Sleep(time.Millisecond)
	}
}

func (c *crowd) problem(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// visit makes one call: a function whose name begins with "b" may hold two calls in a container, others one.
func (c *crowd) visit(rng *rand.Rand, id string) {
	name := string(rune('a' + rng.IntN(6)))
	r := request(id, name)
	r.Function.Timeout = 5 * time.Second
	r.Concurrency = c.shellOptions().Concurrency("acc", name)
	s, ctx, cancel := c.reach()
	lease, err := s.Acquire(ctx, r)
	dead := ctx.Err() != nil
	cancel()
	switch {
	case err == nil && rng.IntN(200) == 0:
		c.add(&c.lost) // as if its answer had been lost: nobody returns this one
		return
	case err == nil:
	case dead:
		c.add(&c.failed) // a retryable error, to a real caller
		return
	case errors.Is(err, dispatcher.ErrDeadline):
		return
	default:
		c.problem("Acquire(%s) = %v", id, err)
		return
	}
	if n := c.held.add(lease.ContainerID, 1); n > r.Concurrency {
		c.problem("%d calls hold container %s of %s, at most %d may", n, lease.ContainerID, name, r.Concurrency)
	}
	time.Sleep(time.Duration(1+rng.IntN(400)) * time.Millisecond)
	c.held.add(lease.ContainerID, -1)
	for {
		s, ctx, cancel := c.reach()
		err := s.Return(returned(id, lease))
		dead := ctx.Err() != nil
		cancel()
		if dead { // who knows whether it was heard
			continue
		}
		if err != nil {
			c.problem("Return(%s) = %v", id, err)
		}
		c.add(&c.served)
		return
	}
}

func (c *crowd) shellOptions() *Options { return &c.options }

func (c *crowd) add(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

// Schedulers are killed at random instants under load, again and again. No container ever runs more calls than it
// may, none is removed under a call, every call that runs is returned, and in the end nothing is left.
func TestKills(t *testing.T) {
	seeds, kills := 12, 20
	if testing.Short() {
		seeds, kills = 3, 8
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { killAgainAndAgain(t, uint64(seed), kills) })
	}
}

func killAgainAndAgain(t *testing.T, seed uint64, kills int) {
	o := Options{Core: dispatcher.Options{MaxNodes: 4, NodeIdle: 3 * time.Second, Kappa: 4 * time.Second},
		Concurrency: func(_, name string) int { return 1 + strings.Count("b", name) }}
	inLives(t, o, func(l *lives) {
		l.c.cap = 5
		c := &crowd{lives: l, held: users{n: map[string]int{}}}
		l.c.removed = func(id string) {
			if n := c.held.add(id, 0); n > 0 {
				c.problem("container %s was removed while %d calls ran in it", id, n)
			}
		}
		c.serveWith(l.shell)
		over, end := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				for k := 0; over.Err() == nil; k++ {
					c.visit(rng, fmt.Sprintf("r-%d-%d", i, k))
					time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
				}
			})
		}
		rng := rand.New(rand.NewPCG(seed, 1<<32))
		for range kills {
			time.Sleep(time.Duration(rng.IntN(int(4 * time.Second))))
			synctest.Wait()
			c.serveWith(nil)
			l.kill()
			time.Sleep(time.Duration(rng.IntN(int(time.Second))))
			l.begin()
			if l.took > 2*time.Second {
				t.Errorf("a restart took %v until it was ready", l.took)
			}
			c.serveWith(l.shell)
		}
		time.Sleep(5 * time.Second)
		end()
		wg.Wait()
		for i, p := range c.problems {
			if i < 5 {
				t.Error(p)
			}
		}
		t.Logf("%d kills: %d calls served, %d ended by a kill while they waited, %d leases lost on the way, %d problems", kills, c.served, c.failed, c.lost, len(c.problems))
	})
}
