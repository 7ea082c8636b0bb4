package e2e

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// cell is a cluster of separate processes, of which the scheduler is killed and started again.
type cell struct {
	testing.TB
	mark, functions, state   string
	http, scheduler, admin   string
	manager, gateway, server *process
	managerAt                string
}

const chaosFunctions = 4

// startCell starts one. Further functions are lines of YAML in which %s is the program.
func startCell(t testing.TB, more ...string) *cell {
	t.Helper()
	c := &cell{TB: t, mark: crand.Text(), state: filepath.Join(t.TempDir(), "state.db"), managerAt: loopback(freePort(t)),
		http: loopback(freePort(t)), scheduler: loopback(freePort(t)), admin: loopback(freePort(t))}
	c.functions = filepath.Join(t.TempDir(), "functions.yaml")
	var b strings.Builder
	b.WriteString("functions:\n")
	for i := range chaosFunctions {
		fmt.Fprintf(&b, "  - name: f%d\n    command: [%s]\n    timeout: 5s\n    concurrency: 1\n    env: {%s: %s, START: %dms}\n", i, alone, markVar, c.mark, 20+40*i)
	}
	for _, f := range more {
		fmt.Fprintf(&b, f, alone)
	}
	if err := os.WriteFile(c.functions, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	port := func(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }
	c.manager = startMarked(t, c.mark, nil, forewarm, "manager", "--port", port(c.managerAt), "--functions", c.functions, "--refill", "1s", "--log-level", "warn")
	c.gateway = startMarked(t, c.mark, nil, forewarm, "gateway", "--http-port", port(c.http), "--port", strconv.Itoa(freePort(t)),
		"--scheduler", c.scheduler, "--functions", c.functions, "--log-level", "warn")
	c.serve()
	until(t, "the gateway listens", 10*time.Second, func() bool {
		resp, err := http.Get("http://" + c.http + "/functions")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return c
}

// serve starts a scheduler and says how long it took until it was ready.
func (c *cell) serve() time.Duration {
	c.Helper()
	port := c.scheduler[strings.LastIndex(c.scheduler, ":")+1:]
	began := time.Now()
	c.server = startMarked(c.TB, c.mark, []string{"RESOURCE_MANAGER_ENDPOINT=" + c.managerAt}, forewarm, "serve", "--port", port,
		"--admin", c.admin, "--state", c.state, "--functions", c.functions, "--kappa", "1s", "--max-nodes", "4")
	for {
		resp, err := http.Get("http://" + c.admin + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began)
			}
		}
		if time.Since(began) > 10*time.Second {
			c.Fatalf("the scheduler was not ready within %v: %v %s", time.Since(began), err, c.server.stderr.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// running counts the containers that there are.
func (c *cell) running() (n int) {
	for _, o := range c.manager.all() {
		if strings.HasPrefix(o.command, alone) {
			n++
		}
	}
	return n
}

// booked counts those that the scheduler knows, and says whether all of them are ready.
func (c *cell) booked() (n int, settled bool) {
	resp, err := http.Get("http://" + c.admin + "/metrics")
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		c.Fatal(err)
	}
	settled = true
	for _, m := range families["forewarm_containers"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() != "state" {
				continue
			}
			switch v := int(m.GetGauge().GetValue()); l.GetValue() {
			case "ready":
				n += v
			case "starting", "stopping":
				settled = settled && v == 0
			}
		}
	}
	return n, settled
}

// tally is what became of the calls.
type tally struct {
	mu                                 sync.Mutex
	served, retryable, broken, overlap int
	sample                             string // of a broken one
}

func (y *tally) count(status int, body string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case status == http.StatusOK && body == "together":
		y.overlap++
	case status == http.StatusOK:
		y.served++
	case status == http.StatusServiceUnavailable:
		y.retryable++
	default:
		y.broken++
		y.sample = fmt.Sprint(status, " ", body)
	}
}

// load calls functions until ctx ends, and waits for the last answers.
func (c *cell) load(ctx context.Context, y *tally, callers int) {
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 9))
			for ctx.Err() == nil {
				resp, err := http.Post(fmt.Sprintf("http://%s/function/f%d", c.http, rng.IntN(chaosFunctions)), "", strings.NewReader("x"))
				if err != nil {
					y.count(0, err.Error())
					continue
				}
				body, _ := io.ReadAll(resp.Body) // short ones do not match
				resp.Body.Close()
				y.count(resp.StatusCode, string(body))
				if resp.StatusCode != http.StatusOK {
					time.Sleep(20 * time.Millisecond)
				}
				if rng.IntN(4) == 0 {
					time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
}

// kills is how often TestChaos kills: CHAOS, or a few.
func kills(t testing.TB) int {
	v := os.Getenv("CHAOS")
	if v == "" {
		return 6
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("CHAOS=%q, want a number of kills", v)
	}
	return n
}

var functionsRead = regexp.MustCompile(`state read.* functions=(\d+)`)

// The scheduler is killed with -9 at random instants under load and started again, with a manager, nodes, containers
// and a gateway that go on. CHAOS=100 does so a hundred times.
func TestChaos(t *testing.T) {
	t.Parallel()
	c := startCell(t)
	var y tally
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		c.load(ctx, &y, 10)
	}()
	defer func() { stop(); <-loaded }()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	n := kills(t)
	var ready []time.Duration
	leaks, forgot, saved := 0, 0, false
	born := time.Now()
	for i := range n {
		time.Sleep(time.Duration(50+rng.IntN(1500)) * time.Millisecond)
		if i == n/2 && !saved { // what was learnt is saved every ten seconds: one scheduler gets so old
			time.Sleep(max(0, 11*time.Second-time.Since(born)))
			saved = true
		}
		c.server.signal(syscall.SIGKILL)
		c.server.wait(5 * time.Second)
		ready, born = append(ready, c.serve()), time.Now()
		if m := functionsRead.FindStringSubmatch(c.server.stderr.String()); saved && (m == nil || m[1] != strconv.Itoa(chaosFunctions)) {
			forgot++
		}
		if i%10 == 9 && c.strays(5*time.Second) != 0 {
			leaks++
		}
	}
	stop()
	<-loaded
	leaks += c.strays(20 * time.Second)
	c.server.stop(20 * time.Second)
	left := c.running()
	nodes := 0
	for _, o := range c.manager.all() {
		if strings.Contains(o.command, "cluster-node") {
			nodes++
		}
	}
	slices.Sort(ready)
	t.Logf("\nkills  ready p50  ready max  calls    overlaps  broken  retryable  laws lost  containers left  nodes left\n%5d  %9v  %9v  %7d  %8d  %6d  %9d  %9d  %15d  %10d",
		n, ready[n/2].Round(time.Millisecond), ready[n-1].Round(time.Millisecond), y.served, y.overlap, y.broken, y.retryable, forgot, left+leaks, nodes)
	if ready[n-1] > 2*time.Second && !raceEnabled {
		t.Errorf("a restart took %v until it was ready, want 2s at most", ready[n-1])
	}
	if y.overlap > 0 || y.broken > 0 || leaks+left+nodes > 0 || forgot > 0 {
		t.Errorf("%d calls met in a container, %d broke off (%s), %d containers and %d nodes are left, %d times laws were lost, want none",
			y.overlap, y.broken, y.sample, leaks+left, nodes, forgot)
	}
	c.gateway.stop(10 * time.Second)
	c.manager.stop(10 * time.Second)
	c.manager.gone(2 * time.Second)
}

// strays waits until there are as many containers as the scheduler knows, and says how many more there were at the
// end of the limit.
func (c *cell) strays(limit time.Duration) (n int) {
	for began := time.Now(); time.Since(began) < limit; time.Sleep(5 * time.Millisecond) {
		known, settled := c.booked()
		if n = c.running() - known; n <= 0 && settled {
			return 0
		}
	}
	return max(n, 0)
}
