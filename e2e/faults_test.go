package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A node is killed under load: it is off the books soon, and every call made after that is served elsewhere.
func TestNodeKilledUnderLoad(t *testing.T) {
	t.Parallel()
	c := startCell(t)
	var y tally
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		c.load(ctx, &y, 6)
	}()
	defer func() { stop(); <-loaded }()
	var node []other
	until(t, "a node is up", 10*time.Second, func() bool {
		node = node[:0]
		for _, o := range c.manager.all() {
			if strings.Contains(o.command, "cluster-node") {
				node = append(node, o)
			}
		}
		return len(node) > 0
	})
	time.Sleep(time.Second)
	if err := syscall.Kill(node[0].pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	until(t, "the node is off the books", 3*time.Second, func() bool { return strings.Contains(c.server.stderr.String(), "node lost") })
	t.Logf("the node was off the books %v after its end", time.Since(killed).Round(time.Millisecond))
	y.mu.Lock()
	broken, served := y.broken, y.served
	y.mu.Unlock()
	time.Sleep(2 * time.Second)
	stop()
	<-loaded
	if y.served <= served || y.overlap > 0 || y.broken > broken+6 {
		t.Errorf("after a node was lost %d calls were served, %d met, %d broke off (%s), want some, none, and those that ran there", y.served-served, y.overlap, y.broken-broken, y.sample)
	}
	c.endCell()
}

// A function whose program ends at once: its calls fail fast with what it printed, and say so.
func TestFunctionThatNeverStarts(t *testing.T) {
	t.Parallel()
	c := startCell(t, "  - name: broken\n    command: [%s]\n    timeout: 5s\n    env: {START: nonsense}\n")
	call := func() (int, string, time.Duration) {
		began := time.Now()
		resp, err := http.Post(fmt.Sprintf("http://%s/function/broken", c.http), "", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), time.Since(began)
	}
	status, body, took := call()
	if status != http.StatusServiceUnavailable || took > 15*time.Second {
		t.Errorf("the first call: %d %q after %v, want 503 after a few starts", status, body, took)
	}
	says(t, "the refusal", body, "do not start", "5 times in a row")
	c.endCell()
}

// endCell ends a cluster in order, and nothing is left.
func (c *cell) endCell() {
	c.Helper()
	c.server.stop(20 * time.Second)
	if n := c.running(); n != 0 {
		c.Errorf("%d containers are left after the scheduler's end, want none", n)
	}
	c.gateway.stop(10 * time.Second)
	c.manager.stop(10 * time.Second)
	c.manager.gone(2 * time.Second)
}
