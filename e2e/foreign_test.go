package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// foreignSaw is what the foreign cluster says in the end; see testdata/foreign.
type foreignSaw struct {
	Asked, Reserved, Released, Refused, Held, Peak, Created, Removed, Left int
	LeftBehind                                                             int `json:"left_behind"`
	Problems                                                               []string
}

// end ends a foreign cluster and reads what it saw. It must have nothing to complain of.
func (p *process) endForeign() foreignSaw {
	p.Helper()
	p.stop(5 * time.Second)
	var saw foreignSaw
	if err := json.Unmarshal([]byte(p.stdout.String()), &saw); err != nil {
		p.Fatalf("the foreign cluster's last word %q: %v", p.stdout.String(), err)
	}
	if saw.Held != 0 || saw.Left != 0 || saw.Reserved != saw.Released {
		p.Errorf("the foreign cluster was left with %d nodes and %d containers after %d reservations and %d releases, want none", saw.Held, saw.Left, saw.Reserved, saw.Released)
	}
	if saw.LeftBehind > 0 {
		p.Errorf("%d containers were still on nodes when those were released, want 0", saw.LeftBehind)
	}
	if len(saw.Problems) > 0 {
		p.Errorf("the foreign cluster complains: %q", saw.Problems[:min(5, len(saw.Problems))])
	}
	return saw
}

// client calls one scheduler as an API server would, without running anything.
type client struct {
	testing.TB
	addr, admin string
	scheduler   schedulerproto.SchedulerClient
	process     *process
	last        atomic.Int64
}

// startServe starts the scheduler alone. It is told of its manager by the environment, as the contract has it.
func startServe(t testing.TB, manager string, more ...string) *client {
	t.Helper()
	port, admin := freePort(t), loopback(freePort(t))
	p := start(t, []string{"RESOURCE_MANAGER_ENDPOINT=" + manager, fmt.Sprintf("SERVICE_PORT=%d", port), "HOST_NAME=a-host", "STACK_NAME=a-stack"},
		forewarm, append([]string{"serve", "--admin", admin}, more...)...)
	c := &client{TB: t, addr: loopback(port), admin: admin, process: p}
	c.scheduler = schedulerproto.NewSchedulerClient(dial(t, c.addr))
	until(t, "forewarm serve serves", 10*time.Second, func() bool { return strings.Contains(p.stderr.String(), "scheduler serves") })
	return c
}

// function is what a caller asks for.
type function struct {
	name   string
	memory int64
	takes  time.Duration
}

// served is how a call met its container.
type served struct {
	start string // warm, waited or cold
	wait  time.Duration
	reply *schedulerproto.AcquireContainerReply
}

func (c *client) acquire(ctx context.Context, id string, f function) (served, error) {
	var header metadata.MD
	began := time.Now()
	reply, err := c.scheduler.AcquireContainer(ctx, &schedulerproto.AcquireContainerRequest{
		RequestId: id, AccountId: "test-account-id", FunctionName: f.name,
		FunctionConfig: &schedulerproto.FunctionConfig{TimeoutInMs: 60_000, MemoryInBytes: f.memory, Handler: "pre_handler"},
	}, grpc.Header(&header), grpc.WaitForReady(true))
	return served{start: strings.Join(header.Get("forewarm-start"), ","), wait: time.Since(began), reply: reply}, err
}

// call acquires, takes its time, and returns.
func (c *client) call(ctx context.Context, f function) (served, error) {
	id := fmt.Sprintf("%s-%d", f.name, c.last.Add(1))
	s, err := c.acquire(ctx, id, f)
	if err != nil {
		return s, fmt.Errorf("acquire a container of %s: %w", f.name, err)
	}
	time.Sleep(f.takes)
	_, err = c.scheduler.ReturnContainer(ctx, &schedulerproto.ReturnContainerRequest{
		RequestId: id, ContainerId: s.reply.GetContainerId(), DurationInNanos: f.takes.Nanoseconds(), MaxMemoryUsageInBytes: f.memory / 4,
	})
	if err != nil {
		return s, fmt.Errorf("return %s: %w", id, err)
	}
	return s, nil
}

// startForeign starts the foreign cluster and says where its manager is.
func startForeign(t testing.TB, addr string, more ...string) *process {
	t.Helper()
	p := start(t, nil, foreign, append([]string{"--listen", addr}, more...)...)
	until(t, "the foreign manager serves", 10*time.Second, func() bool { return strings.Contains(p.stderr.String(), "manager serves") })
	return p
}

// Fifteen functions as in the contest of 2020, in small: short and long, small and large.
func fifteen() []function {
	fs := make([]function, 15)
	for i := range fs {
		fs[i] = function{name: fmt.Sprintf("final_function_%d", i+1), memory: 128 << 20 << (i % 3), takes: time.Duration(2+(i*i*7)%90) * time.Millisecond}
	}
	return fs
}

// A scheduler in front of somebody else's cluster loses no call, although there is no node now and then, starts
// take half a second and nodes list no containers; it keeps within its cap and gives all back.
func TestForeignCluster(t *testing.T) {
	t.Parallel()
	const calls, callers, maxNodes = 1500, 10, 4
	manager := loopback(freePort(t))
	cluster := startForeign(t, manager, "--cap", "10", "--refuse", "3", "--start", "500ms")
	c := startServe(t, manager, "--max-nodes", fmt.Sprint(maxNodes))

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	fs := fifteen()
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	starts, failures := map[string]int{}, []error(nil)
	for caller := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(2020, uint64(caller)))
			for next.Add(1) <= calls && ctx.Err() == nil {
				s, err := c.call(ctx, fs[rng.IntN(len(fs))])
				mu.Lock()
				if starts[s.start]++; err != nil {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(failures) > 0 {
		t.Errorf("%d of %d calls failed, want none; the first: %v", len(failures), calls, failures[0])
	}
	if n := starts["warm"] + starts["waited"] + starts["cold"]; n != calls || starts["warm"] < calls*3/4 {
		t.Errorf("calls by start: %v, want %d in all and most of them warm", starts, calls)
	}
	c.process.stop(15 * time.Second)
	saw := cluster.endForeign()
	if saw.Peak > maxNodes || saw.Peak == 0 {
		t.Errorf("%d nodes were held at once, want 1 to %d", saw.Peak, maxNodes)
	}
	if saw.Refused == 0 {
		t.Errorf("no reservation was refused, so the test shows nothing: %+v", saw)
	}
	t.Logf("%v; the foreign cluster saw %+v", starts, saw)
}

// A manager that comes up after the scheduler is found.
func TestManagerComesLater(t *testing.T) {
	t.Parallel()
	manager := loopback(freePort(t))
	c := startServe(t, manager)
	failed := make(chan error, 3)
	began := time.Now()
	for i := range cap(failed) {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := c.call(ctx, function{name: fmt.Sprintf("early-%d", i), memory: 128 << 20})
			failed <- err
		}()
	}
	time.Sleep(2 * time.Second)
	cluster := startForeign(t, manager, "--start", "100ms")
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Errorf("a call from before the manager was there: %v", err)
		}
	}
	if d := time.Since(began); d > 8*time.Second {
		t.Errorf("the first calls took %v, of which the manager was there for all but 2s; want less than 8s", d)
	}
	c.process.stop(10 * time.Second)
	cluster.endForeign()
}

// While the manager is away, warm calls go on as if nothing was, and what needs a node waits for it.
func TestManagerGoesAway(t *testing.T) {
	t.Parallel()
	manager := loopback(freePort(t))
	cluster := startForeign(t, manager, "--start", "100ms", "--away", "3s", "--refuse", "0", "--memory", fmt.Sprint(512<<20))
	c := startServe(t, manager)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	warm := function{name: "warm", memory: 256 << 20, takes: 5 * time.Millisecond}
	if _, err := c.call(ctx, warm); err != nil {
		t.Fatal(err)
	}
	cluster.signal(syscall.SIGUSR1)
	until(t, "the manager is away", 5*time.Second, func() bool { return strings.Contains(cluster.stderr.String(), "is away") })
	large := make(chan error, 1)
	go func() { // fills a node of its own
		_, err := c.call(ctx, function{name: "large", memory: 512 << 20})
		large <- err
	}()
	var waits []time.Duration
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s, err := c.call(ctx, warm)
		if err != nil || s.start != "warm" {
			t.Errorf("a call of a warm function while the manager is away: %q, %v, want warm", s.start, err)
		}
		waits = append(waits, s.wait)
	}
	slices.Sort(waits)
	if p90 := waits[len(waits)*9/10]; p90 > 100*time.Millisecond {
		t.Errorf("p90 of %d warm acquires while the manager is away: %v, want less than 100ms", len(waits), p90)
	}
	if err := <-large; err != nil {
		t.Errorf("a call that needs a node while the manager is away: %v", err)
	}
	c.process.stop(10 * time.Second)
	cluster.endForeign()
}

// With a manager that never comes, calls are told so in their time and the scheduler ends when asked to.
func TestNoManager(t *testing.T) {
	t.Parallel()
	manager := loopback(freePort(t))
	c := startServe(t, manager, "--max-wait", "300ms")
	_, err := c.call(t.Context(), function{name: "nowhere", memory: 128 << 20})
	if err == nil {
		t.Fatal("a call was served without a cluster")
	}
	says(t, "the error of a call", err.Error(), "DeadlineExceeded", `function "nowhere"`, "waited 3")
	until(t, "the log names the manager and what to check", 10*time.Second, func() bool {
		log := c.process.stderr.String()
		return strings.Contains(log, "level=WARN") && strings.Contains(log, "manager") && strings.Contains(log, manager)
	})
	if a := fetch(t, "GET", "http://"+c.admin+"/healthz", ""); a.status != 200 {
		t.Errorf("/healthz without a manager = %d, want 200", a.status)
	}
	c.process.stop(8 * time.Second)
}
