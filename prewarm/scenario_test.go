package prewarm

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

var rewrite = flag.Bool("rewrite", false, "write what the planner does now into testdata/*.txt; then read the diff")

// TestScenarios runs testdata/*.txt: a trace, then "plan:", then what the planner said about it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			trace, want, _ := strings.Cut(string(b), "plan:\n")
			got := playTrace(t, trace)
			if *rewrite {
				if err := os.WriteFile(file, []byte(trace+"plan:\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s: the planner says\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

// happening is one event of a trace.
type happening struct {
	at   time.Duration
	fn   string
	kind dispatcher.EventKind
	wait time.Duration
}

// trace is a scenario's input. Its lines are
//
//	policy NAME | kappa D | start D | until D | quiet FN
//	call FN at D service D [wait D]
//	timer FN every D service D [batch N] [jitter D] [from D] [until D]
type trace struct {
	opts   Options
	start  time.Duration
	until  time.Duration
	events []happening
	rng    *rand.Rand
}

func parseTrace(t *testing.T, text string) *trace {
	tr := &trace{until: time.Minute, start: time.Second, rng: rand.New(rand.NewPCG(1, 2))}
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		w := strings.Fields(sc.Text())
		if len(w) == 0 || strings.HasPrefix(w[0], "#") {
			continue
		}
		args := map[string]string{}
		for i := 2; i+1 < len(w); i += 2 {
			args[w[i]] = w[i+1]
		}
		tr.line(t, w, args)
	}
	sort.SliceStable(tr.events, func(i, j int) bool { return tr.events[i].at < tr.events[j].at })
	return tr
}

func (tr *trace) line(t *testing.T, w []string, args map[string]string) {
	d := func(s string) time.Duration {
		if s == "" {
			return 0
		}
		v, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var err error
	switch w[0] {
	case "policy":
		tr.opts.Policy, err = ParsePolicy(w[1])
	case "kappa":
		tr.opts.Kappa = d(w[1])
	case "start":
		tr.start = d(w[1])
	case "until":
		tr.until = d(w[1])
	case "call":
		tr.call(w[1], d(args["at"]), d(args["service"]), d(args["wait"]))
	case "timer":
		batch := 1
		if args["batch"] != "" {
			batch, err = strconv.Atoi(args["batch"])
		}
		until := tr.until
		if args["until"] != "" {
			until = d(args["until"])
		}
		for at := d(args["from"]); at < until; at += d(args["every"]) {
			for range batch {
				tr.call(w[1], at+time.Duration(tr.rng.Float64()*float64(d(args["jitter"]))), d(args["service"]), 0)
			}
		}
	default:
		t.Fatalf("unknown line %q", strings.Join(w, " "))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (tr *trace) call(fn string, at, service, wait time.Duration) {
	kind := dispatcher.Arrived
	if wait > 0 {
		kind = dispatcher.Queued
	}
	tr.events = append(tr.events, happening{at: at, fn: fn, kind: kind}, happening{at: at + wait + service, fn: fn, kind: dispatcher.Left, wait: wait})
}

// playTrace tells a planner of the trace as a dispatcher would, and writes down each change of what it wants.
func playTrace(t *testing.T, text string) string {
	tr := parseTrace(t, text)
	p, err := New(tr.opts)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fns := map[string]*dispatcher.FunctionNews{}
	names := []string{}
	said := map[dispatcher.FnID]int{}
	var d Decisions
	next := time.Duration(0)
	for i := 0; next <= tr.until; {
		var news dispatcher.News
		for ; i < len(tr.events) && tr.events[i].at <= next; i++ {
			e := tr.events[i]
			f := fns[e.fn]
			if f == nil {
				f = &dispatcher.FunctionNews{Fn: dispatcher.FnID(len(fns)), Function: &cluster.Function{Name: e.fn, Memory: 128 * cluster.MiB},
					Start: dispatcher.Times{N: 9, P10: tr.start * 9 / 10, P50: tr.start, P90: tr.start * 11 / 10, P99: tr.start * 12 / 10}, ServiceMean: 100 * time.Millisecond}
				fns[e.fn] = f
				names = append(names, e.fn)
			}
			f.Seq++
			f.Busy += map[dispatcher.EventKind]int{dispatcher.Arrived: 1, dispatcher.Queued: 1, dispatcher.Left: -1}[e.kind]
			f.Events = append(f.Events, dispatcher.Event{At: e.at, Kind: e.kind, Wait: e.wait})
		}
		for _, name := range names {
			if f := fns[name]; len(f.Events) > 0 {
				news.Functions = append(news.Functions, *f)
				f.Events = nil
			}
		}
		now := next
		next = p.Advance(now, &news, &d)
		for _, l := range d.Levels {
			if old, ok := said[l.Fn]; !ok || old != l.Want {
				said[l.Fn] = l.Want
				fmt.Fprintf(&out, "%7.2fs %s wants %d%s\n", now.Seconds(), names[l.Fn], l.Want, because(&l.Why))
			}
		}
	}
	return out.String()
}

func because(r *dispatcher.Reason) string {
	if r.Model != dispatcher.ModelGap || r.Level < 0 || r.Gaps == 0 {
		return ""
	}
	return fmt.Sprintf("  (level %d idle %.2fs, next in %.2fs p=%.2f, %d gaps, hold %.2f drop %.2f)",
		r.Level, r.Idle.Seconds(), r.Expect.Seconds(), r.Prob, r.Gaps, r.Hold, r.Drop)
}
