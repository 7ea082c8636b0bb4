package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster/local"
)

// TestMain plays the roles of nodes and containers: they are this program.
func TestMain(m *testing.M) {
	if code, ok := local.RunRole(context.Background(), os.Args[1:]); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// A short demo on real processes: every call is answered on both sides, nothing is left, and the report has what it
// should.
func TestShortDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes about ten seconds and starts processes; run without -short")
	}
	path := filepath.Join(t.TempDir(), "d.json")
	var out bytes.Buffer
	if err := Run(t.Context(), Options{For: 7 * time.Second, Learn: 3 * time.Second, JSON: path, Plain: true, Out: &out}); err != nil {
		t.Fatalf("demo: %v\n%s", err, out.String())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var report map[string]map[string]any
	if err := json.Unmarshal(b, &report); err != nil {
		t.Fatal(err)
	}
	for _, side := range []string{"predictive", "reactive"} {
		for _, key := range []string{"calls", "ok", "success_rate", "warm", "waited", "cold", "acquire_ms", "node_seconds", "container_seconds",
			"idle_container_seconds", "wait_seconds", "j", "functions", "learning"} {
			if _, ok := report[side][key]; !ok {
				t.Errorf("the report of the %s side has no %q: %v", side, key, report[side])
			}
		}
		if r := report[side]["success_rate"]; r != 1.0 {
			t.Errorf("%s: success rate %v, want 1: %v", side, r, report[side]["first_error"])
		}
	}
	for _, piece := range []string{"cold starts met by calls", "node-seconds", "Per function"} {
		if !strings.Contains(out.String(), piece) {
			t.Errorf("the comparison does not mention %q:\n%s", piece, out.String())
		}
	}
}

func TestLoadIsWhatItSays(t *testing.T) {
	ss := shapes()
	calls := load(ss, 1, time.Minute)
	n := make([]int, len(ss))
	for i, c := range calls {
		n[c.fn]++
		if i > 0 && c.at < calls[i-1].at || c.at < 0 || c.at > time.Minute+time.Second {
			t.Fatalf("call %d at %v after %v", i, c.at, calls[max(i, 1)-1].at)
		}
	}
	for i, want := range map[string][2]int{"heartbeat": {11, 11}, "sync": {18, 20}, "burst": {40, 40}, "steady": {1000, 1400}, "ramp": {300, 480}, "rare": {0, 12}} {
		for k, s := range ss {
			if s.name == i && (n[k] < want[0] || n[k] > want[1]) {
				t.Errorf("%s (%s): %d calls in a minute, want %d to %d", s.name, s.about, n[k], want[0], want[1])
			}
		}
	}
	if again := load(ss, 1, time.Minute); len(again) != len(calls) || again[7] != calls[7] {
		t.Error("the same seed gave another load")
	}
	for _, f := range functions(ss).Functions {
		if f.Concurrency != 1 || f.Sample != "sleep" {
			t.Errorf("%s: concurrency %d, sample %q", f.Name, f.Concurrency, f.Sample)
		}
	}
}

func TestScoreAddsUp(t *testing.T) {
	ss := shapes()[:2]
	tl := &tally{learn: 2 * time.Second}
	ms := time.Millisecond
	for _, o := range []outcome{
		{fn: 0, at: 1 * time.Second, ok: true, served: "cold", wait: 800 * ms, acquire: 801 * ms}, // still learning
		{fn: 0, at: 3 * time.Second, ok: true, served: "warm"},
		{fn: 0, at: 4 * time.Second, ok: true, served: "cold", wait: 700 * ms, acquire: 701 * ms},
		{fn: 1, at: 5 * time.Second, ok: true, served: "waited", wait: 20 * ms, acquire: 21 * ms},
		{fn: 1, at: 6 * time.Second, err: "no luck"},
	} {
		tl.add(o)
	}
	s := tl.score(1, ss, spent{idle: 10 * time.Second, starting: time.Second, total: 20 * time.Second, nodes: 5 * time.Second}, 4*time.Second)
	if s.Calls != 4 || s.OK != 3 || s.Warm != 1 || s.Waited != 1 || s.Cold != 1 || s.SuccessRate != .75 || s.FirstError != "no luck" {
		t.Errorf("score = %+v", s)
	}
	if s.J != 15 || s.WaitSeconds != .72 || s.AcquireMS.Max != 701 || s.NodeSeconds != 5 {
		t.Errorf("j %v, wait %v s, longest %v ms, %v node-seconds; want 15, 0.72, 701, 5", s.J, s.WaitSeconds, s.AcquireMS.Max, s.NodeSeconds)
	}
	if l := tl.score(0, ss, spent{}, 4*time.Second); l.Calls != 1 || l.Cold != 1 {
		t.Errorf("the learning phase has %d calls, %d cold, want 1 and 1", l.Calls, l.Cold)
	}
}

func TestScreenShowsBothSides(t *testing.T) {
	s := snapshot{at: 25 * time.Second, length: 45 * time.Second, learn: 20 * time.Second, kappa: Kappa, rows: []snapshotRow{{
		name: "heartbeat", about: "every 5.5 s", next: "1.2s", reason: "started: use in 1s, p 0.97",
		side: [2]sideRow{{calls: 5, cold: 3, p99: 800 * time.Millisecond, ready: 1, starting: 1}, {calls: 5, cold: 5, ready: 1}},
	}}}
	wide := render(s, 200, false)
	for _, piece := range []string{"scored", "heartbeat", "every 5.5 s", "1.2s", "0/800", "1+1", "started: use in 1s, p 0.97", "kappa = 4s"} {
		if !strings.Contains(wide, piece) {
			t.Errorf("the screen does not show %q:\n%s", piece, wide)
		}
	}
	if narrow := render(s, 100, false); strings.Contains(narrow, "p 0.97") {
		t.Error("the last column is shown where there is no room for it")
	}
	if !strings.Contains(render(s, 100, true), "clearing up") {
		t.Error("an ending demo does not say so")
	}
}

func TestBadOptions(t *testing.T) {
	err := Run(t.Context(), Options{For: 5 * time.Second, Learn: 5 * time.Second, Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "--for") {
		t.Errorf("a demo that only learns: %v, want an error that names --for", err)
	}
}
