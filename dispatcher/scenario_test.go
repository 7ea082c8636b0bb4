package dispatcher

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

var rewrite = flag.Bool("rewrite", false, "write what the core does now into testdata/*.txt; then read the diff")

// TestScenarios runs testdata/*.txt. A line that begins with a time is told to the core; the indented lines
// below it are what the core did. Commands are documented at script.run.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s: the core does something else now; first difference:\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := 0; i < min(len(g), len(w)); i++ {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got  %s\n want %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// script plays the shell: it keeps the orders that are out, and the leases, by request id.
type script struct {
	t      *testing.T
	core   *Core
	opts   Options
	now    time.Duration
	fx     Effects
	orders []Order
	leases map[string]Lease
	tick   map[string]Ticket
	out    strings.Builder
	news   News
	nodes  int
}

func runScript(t *testing.T, text string) string {
	s := &script{t: t, leases: map[string]Lease{}, tick: map[string]Ticket{}}
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "#") || line == "":
			s.out.WriteString(line + "\n")
		case strings.HasPrefix(line, " "): // what the core did when the file was written
		default:
			s.out.WriteString(line + "\n")
			if comment := strings.Index(line, "#"); comment >= 0 {
				line = line[:comment]
			}
			s.line(strings.Fields(line))
		}
	}
	return s.out.String()
}

func (s *script) line(words []string) {
	at, err := time.ParseDuration(words[0])
	if err != nil {
		s.t.Fatalf("%q: %v", words[0], err)
	}
	s.now = at
	args := map[string]string{}
	var plain []string
	for _, w := range words[2:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			args[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	if s.core == nil {
		if words[1] == "options" {
			s.opts = parseOptions(s.t, args)
		}
		if s.core, err = New(s.opts); err != nil {
			s.t.Fatal(err)
		}
		if words[1] == "options" {
			return
		}
	}
	s.run(words[1], plain, args)
	s.report()
	if err := s.core.Check(); err != nil {
		s.t.Errorf("after %q: %v", strings.Join(words, " "), err)
	}
}

func parseOptions(t *testing.T, args map[string]string) (o Options) {
	for k, v := range args {
		switch k {
		case "nodes":
			o.MaxNodes = number(t, v)
		case "line":
			o.MaxLine = number(t, v)
		case "kappa":
			o.Kappa = duration(t, v)
		case "patience":
			o.Patience = duration(t, v)
		case "nodeidle":
			o.NodeIdle = duration(t, v)
		case "spare":
			o.KeepSpare = v == "keep"
		case "maxwait":
			o.MaxWait = duration(t, v)
		default:
			t.Fatalf("unknown option %q", k)
		}
	}
	return o
}

// run does one command:
//
//	options nodes=N line=N kappa=D maxwait=D patience=D nodeidle=D spare=keep   first line only
//	acquire FN ID [mem=MiB] [c=N|auto] [account=A] [timeout=D] [deadline=D]
//	return ID [mem=MiB] [failed] [oom]
//	cancel ID
//	node [MiB] | nonode [down]                     answers the oldest reservation; down: the manager does not answer
//	started | startfail [fatal] [lost] [memory]    answers the oldest start (fn=FN: of that function)
//	stopped | released | stopfail | releasefail    answers the oldest stop or release
//	lost NODE                                      the node with that number is gone
//	drain NODE [undo]                              somebody empties it
//	level FN N | nodes N                           the planner speaks, having read all news
//	floor FN N | news                              as level, for a minimum; what the planner hears of nodes
//	tick | show | shutdown
func (s *script) run(cmd string, plain []string, args map[string]string) {
	c, fx := s.core, &s.fx
	fx.Reset()
	has := func(w string) bool {
		for _, p := range plain {
			if p == w {
				return true
			}
		}
		return false
	}
	var err error
	switch cmd {
	case "acquire":
		s.acquire(plain, args)
	case "return":
		l := s.leases[plain[0]]
		err = c.Return(s.now, Returned{RequestID: plain[0], ContainerID: l.ContainerID, MaxMemory: int64(number(s.t, def(args["mem"], "0"))) * cluster.MiB,
			Failed: has("failed") || has("oom"), OutOfMemory: has("oom")}, fx)
	case "cancel":
		if !c.Cancel(s.now, s.tick[plain[0]], fx) {
			s.say("too late")
		}
	case "node":
		mem := 3072
		if len(plain) > 0 {
			mem = number(s.t, plain[0])
		}
		s.nodes++
		err = c.NodeReady(s.now, s.take(ReserveNode, "").ID, cluster.Node{ID: fmt.Sprintf("n%d", s.nodes), Address: "127.0.0.1", Port: 1, Memory: int64(mem) * cluster.MiB}, fx)
	case "nonode":
		err = c.ReserveFailed(s.now, s.take(ReserveNode, "").ID, Failure{Err: "none", NoNode: !has("down")}, fx)
	case "started":
		o := s.take(StartContainer, args["fn"])
		err = c.Started(s.now, o.ID, def(args["as"], fmt.Sprintf("c%d", o.Container)), fx)
	case "startfail":
		err = c.StartFailed(s.now, s.take(StartContainer, args["fn"]).ID, Failure{Err: "exit status 1", Fatal: has("fatal"), NodeLost: has("lost"), Memory: has("memory")}, fx)
	case "stopped":
		err = c.Stopped(s.now, s.take(StopContainer, args["fn"]).ID, fx)
	case "stopfail":
		err = c.StopFailed(s.now, s.take(StopContainer, args["fn"]).ID, Failure{Err: "timeout"}, fx)
	case "released":
		err = c.Released(s.now, s.take(ReleaseNode, "").ID, fx)
	case "releasefail":
		err = c.ReleaseFailed(s.now, s.take(ReleaseNode, "").ID, Failure{Err: "timeout"}, fx)
	case "lost":
		err = c.NodeLost(s.now, NodeID(number(s.t, plain[0])), fx)
	case "drain":
		_, err = c.DrainNode(s.now, NodeID(number(s.t, plain[0])), has("undo"), fx)
	case "level":
		s.core.News(s.now, &s.news)
		f := s.fn(plain[0])
		err = c.SetLevel(s.now, Level{Fn: f.id, Want: number(s.t, plain[1]), Seen: f.newsSeq, Why: Reason{Cause: CauseForecast}}, fx)
	case "nodes":
		s.core.News(s.now, &s.news)
		err = c.SetNodes(s.now, NodeTarget{Want: number(s.t, plain[0])}, fx)
	case "floor":
		s.core.News(s.now, &s.news)
		f := s.fn(plain[0])
		err = c.SetLevel(s.now, Level{Fn: f.id, Want: number(s.t, plain[1]), Seen: f.newsSeq, Why: Reason{Cause: CauseMinimum}}, fx)
	case "news":
		s.core.News(s.now, &s.news)
		s.say("the planner hears of %d MiB booked and %d MiB wanting", s.news.Nodes.Booked/cluster.MiB, s.news.Nodes.Queued/cluster.MiB)
	case "tick":
		c.Tick(s.now, fx)
	case "shutdown":
		c.Shutdown(s.now, fx)
	case "show":
		s.show()
	default:
		s.t.Fatalf("unknown command %q", cmd)
	}
	if err != nil {
		s.say("error: %v", err)
	}
}

func (s *script) acquire(plain []string, args map[string]string) {
	r := Request{ID: plain[1], Waiter: plain[1], Concurrency: 1, Function: cluster.Function{Name: plain[0], Account: args["account"],
		Memory: int64(number(s.t, def(args["mem"], "512"))) * cluster.MiB, Timeout: duration(s.t, def(args["timeout"], "30s"))}}
	if c := args["c"]; c == "auto" {
		r.Concurrency = 0
	} else if c != "" {
		r.Concurrency = number(s.t, c)
	}
	if d := args["deadline"]; d != "" {
		r.Deadline = duration(s.t, d)
	}
	l, ticket, err := s.core.Acquire(s.now, r, &s.fx)
	switch {
	case err != nil:
		s.say("error: %v", err)
	case ticket.Seq != 0:
		s.tick[r.ID] = ticket
		s.say("waits")
	default:
		s.leases[r.ID] = l
		s.say("%s in %s on node %s", l.Served, l.ContainerID, l.Node.ID)
	}
}

func (s *script) fn(name string) *function {
	for _, f := range s.core.fns {
		if f.cfg.Name == name {
			return f
		}
	}
	s.t.Fatalf("no function %q", name)
	return nil
}

// take is the oldest outstanding order of a kind, of a function if one is named.
func (s *script) take(k OrderKind, fn string) Order {
	for i, o := range s.orders {
		if o.Kind == k && (fn == "" || o.Function.Name == fn) {
			s.orders = append(s.orders[:i:i], s.orders[i+1:]...)
			return o
		}
	}
	s.t.Fatalf("at %v: no %s order is out\n%s", s.now, k, s.out.String())
	return Order{}
}

func (s *script) say(format string, a ...any) { fmt.Fprintf(&s.out, "    "+format+"\n", a...) }

func (s *script) report() {
	for _, g := range s.fx.Grants {
		if g.Err != nil {
			s.say("%v ends: %v", g.Waiter, g.Err)
			continue
		}
		s.leases[g.Waiter.(string)] = g.Lease
		s.say("%v gets %s on node %s, %s after %v", g.Waiter, g.Lease.ContainerID, g.Lease.Node.ID, g.Lease.Served, g.Lease.Wait)
	}
	for _, o := range s.fx.Orders {
		s.orders = append(s.orders, o)
		after := ""
		if o.NotBefore > 0 {
			after = fmt.Sprintf(", not before %v", o.NotBefore)
		}
		switch o.Kind {
		case StartContainer:
			s.say("start c%d of %s, %d MiB on node %d: %s%s", o.Container, o.Function.Name, o.Spec.Memory/cluster.MiB, o.NodeID, o.Why.Cause, after)
		case StopContainer:
			s.say("stop %s of %s on node %d: %s%s", o.ContainerID, o.Function.Name, o.NodeID, o.Why.Cause, after)
		case ReserveNode:
			s.say("reserve a node: %s%s", o.Why.Cause, after)
		case ReleaseNode:
			s.say("release node %d: %s%s", o.NodeID, o.Why.Cause, after)
		}
	}
}

func (s *script) show() {
	s.core.Functions(s.now, func(i *FunctionInfo) bool {
		s.say("%s: %d ready (%d idle), %d starting, %d stopping; %d waiting, %d leased, want %d; warm %d waited %d cold %d", i.Function.Name,
			i.Ready, i.Idle, i.Starting, i.Stopping, i.Waiting, i.Leased, i.Want, i.Count.Warm, i.Count.Waited, i.Count.Cold)
		return true
	})
	for _, n := range s.core.Cluster(s.now).Nodes {
		state := ""
		if n.Draining {
			state = ", draining"
		}
		s.say("node %d: %d of %d MiB, %d containers%s", n.ID, n.Booked/cluster.MiB, n.Node.Memory/cluster.MiB, n.Containers, state)
	}
}

func def(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
