package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The scheduler is replaced twice under load: no call fails, containers stay warm, and at the end none is left.
func TestTakeover(t *testing.T) {
	dir := openDir(t)
	p := freePorts(t, 5)
	file := write(t, filepath.Join(dir, "functions.yaml"), `functions:
  - {name: quick, sample: hello, concurrency: 4}
  - {name: slow, sample: sleep, env: {SLEEP_MS: "400"}}
  - {name: starts, sample: hello, env: {START_TIME: 600ms}}
`)
	gateway, admin, state := "127.0.0.1:"+p[0], "127.0.0.1:"+p[4], filepath.Join(dir, "state")
	manager := forewarm(t, dir, "manager", "--port", p[3], "--functions", file)
	manager.says("manager serves")
	serve := func(more ...string) *program {
		t.Helper()
		s := forewarm(t, dir, append([]string{"serve", "--manager", "127.0.0.1:" + p[3], "--port", p[2], "--admin", admin, "--state", state, "--functions", file}, more...)...)
		s.says("scheduler serves")
		return s
	}
	if a := forewarm(t, dir, "serve", "--takeover", "--manager", "127.0.0.1:"+p[3], "--port", p[2], "--admin", admin, "--state", state); a.code(10*time.Second) != 1 ||
		!strings.Contains(a.out.String(), "start without --takeover") {
		t.Errorf("a takeover of nothing: %s", a.out.String())
	}
	s := serve()
	forewarm(t, dir, "gateway", "--http-port", p[0], "--port", p[1], "--scheduler", "127.0.0.1:"+p[2], "--functions", file).says("gateway serves")
	for _, f := range []string{"quick", "slow"} {
		eventually(t, "the gateway answers", 10*time.Second, func() bool {
			status, _, _, err := invoke(t.Context(), gateway, f)
			return err == nil && status == http.StatusOK
		})
	}
	load := steadily(t, gateway, 20*time.Millisecond, 30*time.Second, "quick", "quick", "quick", "quick", "slow")
	time.Sleep(2 * time.Second) // for the functions to have all their containers
	before := load.cold.Load()
	for _, gone := range []string{"1 containers gone", "0 containers gone"} { // at first the one that starts
		waits := make(chan string, 1)
		go func() { // a call whose container starts while the schedulers change
			status, body, _, err := invoke(t.Context(), gateway, "starts")
			if err != nil || status != http.StatusOK {
				waits <- body
			}
			waits <- ""
		}()
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		next := serve("--takeover")
		t.Logf("the next one serves after %v", time.Since(began).Round(time.Millisecond))
		if code := s.code(10 * time.Second); code != 0 {
			t.Errorf("the replaced scheduler ended with %d: %s", code, s.out.String())
		}
		if strings.Contains(s.out.String(), "node released") || !strings.Contains(next.out.String(), " 0 nodes and "+gone+", 0 strays removed") {
			t.Errorf("containers were lost:\n%s\n%s", s.out.String(), next.out.String())
		}
		if body := <-waits; body != "" {
			t.Errorf("a call that waited for its container failed: %s", body)
		}
		s = next
		time.Sleep(2 * time.Second)
	}
	load.stop()
	load.none(t)
	t.Logf("%d calls, %d of them cold before the takeovers and %d after", load.calls.Load(), before, load.cold.Load()-before)
	// A start that is under way at a takeover is begun anew, and the calls that wait for it are cold.
	if n, most := load.cold.Load()-before, load.calls.Load()/10; n > most {
		t.Errorf("%d cold starts after the takeovers, want at most a tenth of the calls, %d", n, most)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("the last scheduler ended with %d", code)
	}
	eventually(t, "every node was released", 5*time.Second, func() bool {
		out := manager.out.String()
		return strings.Count(out, "node released") == strings.Count(out, "node reserved")
	})
}

// Roles that nobody gives orders read their list anew when they are told to, and keep it where it is no good.
func TestRolesRereadTheirFunctions(t *testing.T) {
	dir := openDir(t)
	p := freePorts(t, 5)
	const first = "functions:\n- {name: a, sample: sleep, env: {SLEEP_MS: '1'}}\n"
	file := write(t, filepath.Join(dir, "functions.yaml"), first)
	gateway := "127.0.0.1:" + p[0]
	roles := []*program{
		forewarm(t, dir, "manager", "--port", p[3], "--functions", file),
		forewarm(t, dir, "serve", "--manager", "127.0.0.1:"+p[3], "--port", p[2], "--admin", "127.0.0.1:"+p[4], "--functions", file),
		forewarm(t, dir, "gateway", "--http-port", p[0], "--port", p[1], "--scheduler", "127.0.0.1:"+p[2], "--functions", file),
	}
	for i, what := range []string{"manager serves", "scheduler serves", "gateway serves"} {
		roles[i].says(what)
	}
	answer := func(function string) string {
		t.Helper()
		_, body, _, err := invoke(t.Context(), gateway, function)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	eventually(t, "a answers", 10*time.Second, func() bool {
		_, body, _, err := invoke(t.Context(), gateway, "a")
		return err == nil && body == "slept 1 ms\n"
	})
	reread := func(text, says string) {
		t.Helper()
		write(t, file, text)
		for _, r := range roles {
			if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			r.says(says)
		}
	}
	reread(strings.Replace(first, "'1'", "'2'", 1)+"- {name: b, sample: hello}\n", "list of functions reloaded")
	if a, b := answer("a"), answer("b"); a != "slept 2 ms\n" || b != "hello from b\n" {
		t.Errorf("after the reload a answers %q and b %q", a, b)
	}
	reread("functions:\n- {name: a, sampel: sleep}\n", "functions.yaml:2:13: unknown key")
	if a := answer("a"); a != "slept 2 ms\n" {
		t.Errorf("after a bad file a answers %q", a)
	}
	for i := len(roles) - 1; i >= 0; i-- {
		if code := roles[i].stop(); code != 0 {
			t.Errorf("role %d ended with %d", i, code)
		}
	}
}
