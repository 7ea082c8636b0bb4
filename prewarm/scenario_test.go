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

	"github.com/forewarm/forewarm/calendar"
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
//	chase FN after D service D [from D] [until D]        a call comes so long after the planner lets go of FN
//	history FN every D service D [from D] [until D]      what it did before the run
//	epoch TIME | prices COLD GIBSECOND | memory FN MIB
//	declare FN [at D]                                    it exists, and was not called yet
//	bounds FN [min N] [max N] [paused yes] [at D]        replaces its bounds and windows
//	window FN cron M_H_D_M_W for D [min N] [max N] [zone Z]   one more, with the next bounds of FN
//	mode NAME [at D]
//	account [FN]                                         ends the plan with its account
type trace struct {
	opts    Options
	start   time.Duration
	until   time.Duration
	events  []happening
	changes []change
	windows map[string][]calendar.Window
	memory  map[string]int64
	account string
	chase   *chase
	rng     *rand.Rand
}

// chase is a caller who waits until nothing is held.
type chase struct {
	fn                          string
	after, service, from, until time.Duration
}

// change is something that people do to the planner.
type change struct {
	at time.Duration
	do func(*player) error
}

func parseTrace(t *testing.T, text string) *trace {
	tr := &trace{until: time.Minute, start: time.Second, windows: map[string][]calendar.Window{}, memory: map[string]int64{}, rng: rand.New(rand.NewPCG(1, 2))}
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
	sort.SliceStable(tr.changes, func(i, j int) bool { return tr.changes[i].at < tr.changes[j].at })
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
	case "chase":
		tr.chase = &chase{w[1], d(args["after"]), d(args["service"]), d(args["from"]), d(args["until"])}
	case "history":
		var calls [][2]time.Duration
		for at := d(args["from"]); at < d(args["until"]); at += d(args["every"]) {
			calls = append(calls, [2]time.Duration{at, d(args["service"])})
		}
		tr.change(0, func(p *player) error {
			_, err := p.planner.Learn("", w[1], func(yield func(at, service time.Duration) bool) {
				for _, c := range calls {
					if !yield(c[0], c[1]) {
						return
					}
				}
			})
			return err
		})
	case "epoch":
		tr.opts.Epoch, err = time.Parse(time.RFC3339, w[1])
	case "prices":
		_, err = fmt.Sscan(strings.Join(w[1:], " "), &tr.opts.Prices.Cold, &tr.opts.Prices.GiBSecond)
	case "memory":
		tr.memory[w[1]] = int64(atoi(t, w[2])) * cluster.MiB
	case "declare":
		tr.change(d(args["at"]), func(p *player) error { p.function(w[1]).told = true; return nil })
	case "bounds":
		b := Bounds{Min: atoi(t, args["min"]), Max: atoi(t, args["max"]), Paused: args["paused"] == "yes", Calendar: tr.windows[w[1]]}
		tr.change(d(args["at"]), func(p *player) error { return p.planner.SetBounds("", w[1], b) })
	case "window":
		tr.windows[w[1]] = append(tr.windows[w[1]], calendar.Window{Cron: strings.ReplaceAll(args["cron"], "_", " "),
			Duration: d(args["for"]), Min: atoi(t, args["min"]), Max: atoi(t, args["max"]), Zone: args["zone"]})
	case "mode":
		var m Mode
		m, err = ParseMode(w[1])
		tr.change(d(args["at"]), func(p *player) error { return p.planner.SetMode(m) })
	case "account":
		tr.account = w[1]
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

func (tr *trace) change(at time.Duration, do func(*player) error) {
	tr.changes = append(tr.changes, change{at, do})
}

// follow lets the chaser call.
func (tr *trace) follow(fn string, now time.Duration, want int) {
	if c := tr.chase; c != nil && c.fn == fn && want == 0 && now >= c.from && now < c.until {
		tr.call(fn, now+c.after, c.service, 0)
		sort.SliceStable(tr.events, func(i, j int) bool { return tr.events[i].at < tr.events[j].at })
	}
}

func atoi(t *testing.T, s string) int {
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// player tells a planner of a trace as a dispatcher would.
type player struct {
	tr      *trace
	planner *Planner
	fns     map[string]*heard
	names   []string
}

// heard is a function and what is not told yet.
type heard struct {
	dispatcher.FunctionNews
	told bool // it is news even without events
}

func (p *player) function(name string) *heard {
	f := p.fns[name]
	if f == nil {
		memory := p.tr.memory[name]
		if memory == 0 {
			memory = 128 * cluster.MiB
		}
		start := p.tr.start
		f = &heard{FunctionNews: dispatcher.FunctionNews{Fn: dispatcher.FnID(len(p.fns)), Function: &cluster.Function{Name: name, Memory: memory},
			Start: dispatcher.Times{N: 9, P10: start * 9 / 10, P50: start, P90: start * 11 / 10, P99: start * 12 / 10}, ServiceMean: 100 * time.Millisecond}}
		p.fns[name] = f
		p.names = append(p.names, name)
	}
	return f
}

func (p *player) happens(e *happening) {
	f := p.function(e.fn)
	f.Seq++
	f.Busy += map[dispatcher.EventKind]int{dispatcher.Arrived: 1, dispatcher.Queued: 1, dispatcher.Left: -1}[e.kind]
	f.Events = append(f.Events, dispatcher.Event{At: e.at, Kind: e.kind, Wait: e.wait})
}

// news is what was not told yet.
func (p *player) news() *dispatcher.News {
	var n dispatcher.News
	for _, name := range p.names {
		if f := p.fns[name]; len(f.Events) > 0 || f.told {
			n.Functions = append(n.Functions, f.FunctionNews)
			f.Events, f.told = nil, false
		}
	}
	return &n
}

// playTrace writes down each change of what a planner wants.
func playTrace(t *testing.T, text string) string {
	tr := parseTrace(t, text)
	planner, err := New(tr.opts)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{tr: tr, planner: planner, fns: map[string]*heard{}}
	var out strings.Builder
	said := map[dispatcher.FnID]int{}
	var d Decisions
	now, next := time.Duration(0), time.Duration(0)
	for i, c := 0, 0; next <= tr.until; {
		now = next
		for ; i < len(tr.events) && tr.events[i].at <= now; i++ {
			p.happens(&tr.events[i])
		}
		for ; c < len(tr.changes) && tr.changes[c].at <= now; c++ {
			if err := tr.changes[c].do(p); err != nil {
				t.Fatal(err)
			}
		}
		next = planner.Advance(now, p.news(), &d)
		if c < len(tr.changes) {
			next = min(next, tr.changes[c].at)
		}
		for _, l := range d.Levels {
			if old, ok := said[l.Fn]; !ok || old != l.Want {
				said[l.Fn] = l.Want
				tr.follow(p.names[l.Fn], now, l.Want)
				fmt.Fprintf(&out, "%7.2fs %s wants %d%s\n", now.Seconds(), p.names[l.Fn], l.Want, because(&l.Why))
			}
		}
	}
	if tr.account != "" {
		p.writeAccount(&out, now)
	}
	return out.String()
}

func (p *player) writeAccount(out *strings.Builder, now time.Duration) {
	f, _ := p.planner.Forecast(now, p.function(p.tr.account).Fn)
	for _, b := range []struct {
		name string
		Book
	}{{"live", f.Spent.Live}, {"forecast", f.Spent.Forecast}, {"reactive", f.Spent.Reactive}} {
		fmt.Fprintf(out, "%-8s cost %.1f: idle %.1fs, %d starts (%d ahead), %d met, %d missed, waited %.1fs\n",
			b.name, b.Cost, b.Idle.Seconds(), b.Starts, b.Ahead, b.Met, b.Missed, b.Wait.Seconds())
	}
}

func because(r *dispatcher.Reason) string {
	switch {
	case r.Cause == dispatcher.CauseMinimum:
		return "  (floor)"
	case r.Clip == dispatcher.ClipMax:
		return "  (ceiling)"
	}
	if r.Model != dispatcher.ModelGap || r.Level < 0 || r.Gaps == 0 {
		return ""
	}
	return fmt.Sprintf("  (level %d idle %.2fs, next in %.2fs p=%.2f, %d gaps, hold %.2f drop %.2f)",
		r.Level, r.Idle.Seconds(), r.Expect.Seconds(), r.Prob, r.Gaps, r.Hold, r.Drop)
}
