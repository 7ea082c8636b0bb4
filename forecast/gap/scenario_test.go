package gap

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/*.txt with what the code says now")

// TestScenarios runs testdata/*.txt: a line is a comment, a command or, when indented, what the command before it
// must answer. Commands, all with key=value arguments:
//
//	price kappa= start= lead=                             begins anew with nothing known
//	timer period= jitter= service= beats= burst= seed=    goes on with the beat of the timer before
//	poisson rate= service= for= seed=                     rate per second
//	pairs rate= after= jitter= service= for= seed=        a second call so long after each first one
//	gaps service= 5s 20s ...                              single calls with idle gaps like these
//	plan level= [up=1]                                    the schedule of a level
//	want after=                                           what is wanted so long after the last event
//
// Workloads follow one another without a break, each ending with its last departure, and answer with what the pool
// of pool_test.go cost, and what a keep-alive of kappa+start and no keep-alive would have.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(data))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(data) {
				t.Errorf("the scenario now reads (go test -run Scenarios -rewrite, then read the diff):\n%s", got)
			}
		})
	}
}

// play returns the scenario with the answers that the code gives now.
func play(t *testing.T, text string) string {
	var out strings.Builder
	var s stage
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(&out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for answer := range strings.Lines(s.do(t, line)) {
			fmt.Fprintf(&out, "\t%s", answer)
		}
	}
	return out.String()
}

// stage is the state of a scenario.
type stage struct {
	f     *Levels
	pools []*pool // under gap laws, a keep-alive of kappa+start, none
	price Price
	end   time.Duration // of the last workload
	grid  time.Duration // of timers: half a period after their last beat
}

type args map[string]string

func (a args) duration(t *testing.T, key string) time.Duration {
	d, err := time.ParseDuration(a[key])
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return d
}

func (a args) float(t *testing.T, key string) float64 {
	x, err := strconv.ParseFloat(a[key], 64)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return x
}

func (s *stage) do(t *testing.T, line string) string {
	words := strings.Fields(line)
	a := args{"burst": "1", "up": "0", "jitter": "0s", "seed": "1", "service": "0s"}
	var rest []string
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			a[key] = value
		} else {
			rest = append(rest, w)
		}
	}
	r := rand.New(rand.NewPCG(uint64(a.float(t, "seed")), 0))
	service := a.duration(t, "service")
	switch words[0] {
	case "price":
		s.price = Price{Kappa: a.duration(t, "kappa"), Start: a.duration(t, "start"), Lead: a.duration(t, "lead")}
		s.f, s.end, s.grid = newLevels(t), 0, 0
		s.pools = []*pool{gapPool(s.f, s.price), keepPool(s.price.Kappa+s.price.Start, s.price), keepPool(0, s.price)}
		return ""
	case "timer":
		n, burst, period := int(a.float(t, "beats")), int(a.float(t, "burst")), a.duration(t, "period")
		from := s.grid
		s.grid += period * time.Duration(n)
		return s.work(from, timer(r, period, a.duration(t, "jitter"), service, n, burst))
	case "poisson":
		return s.work(s.end, poisson(r, a.float(t, "rate"), service, a.duration(t, "for")))
	case "pairs":
		calls := poisson(r, a.float(t, "rate"), 0, a.duration(t, "for"))
		for _, c := range calls {
			calls = append(calls, call{c.at + a.duration(t, "after") + time.Duration(r.NormFloat64()*float64(a.duration(t, "jitter"))), service})
		}
		for i := range calls {
			calls[i].service = service
		}
		return s.work(s.end, calls)
	case "gaps":
		var calls []call
		at := time.Duration(0)
		for _, w := range rest {
			at += args{"gap": w}.duration(t, "gap")
			calls = append(calls, call{at, service})
			at += service
		}
		return s.work(s.end, calls)
	case "plan":
		return s.plan(int(a.float(t, "level")), a["up"] == "1")
	case "want":
		return s.wanted(a.duration(t, "after"))
	}
	t.Fatalf("unknown command %q", line)
	return ""
}

// work plays calls, whose times count from from.
func (s *stage) work(from time.Duration, calls []call) string {
	es := events(calls)
	for i := range es {
		es[i].at += from
	}
	s.end = es[len(es)-1].at
	var b [3]bill
	for i, p := range s.pools {
		p.bill = bill{}
		b[i] = p.run(es, s.end)
	}
	return fmt.Sprintf("%d calls, %d cold, %d starts; idle %.1f, starting %.1f, in all %.1f; keep-alive %.1f, none %.1f\n",
		b[0].calls, b[0].colds, b[0].starts, b[0].idle, b[0].starting, b[0].total(), b[1].total(), b[2].total())
}

func (s *stage) plan(k int, up bool) string {
	s.f.Wanted(s.end, s.price)
	g := &s.f.groups[groupOf(k)]
	plan, gaps := &s.f.none.plan, 0
	switch {
	case up && g.up == nil:
		return "no law\n"
	case up:
		plan, gaps = &g.up.plan, g.up.law.Gaps()
	case g.idle != nil:
		plan, gaps = &g.idle.plan, g.idle.law.Gaps()
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d gaps\n", gaps)
	for _, st := range plan.Steps {
		verb := "drop"
		if st.Held {
			verb = "hold"
		}
		fmt.Fprintf(&out, "%8.2fs %s; use around %.2fs, %.0f %%; holding costs %.2f, dropping %.2f\n",
			st.At.Seconds(), verb, st.Use.Seconds(), 100*st.Prob, st.Hold, st.Drop)
	}
	return out.String()
}

func (s *stage) wanted(after time.Duration) string {
	w := s.f.Wanted(s.end+after, s.price)
	next := "for good"
	if w.Next != Never {
		next = fmt.Sprintf("for %.2fs", (w.Next - s.end - after).Seconds())
	}
	y := w.Why
	return fmt.Sprintf("%d busy, %d idle wanted %s; level %d, idle for %.2fs, next use in %.2fs, %.0f %%, %d gaps\n",
		w.Busy, w.Idle, next, y.Level, y.Idle.Seconds(), y.Expect.Seconds(), 100*y.Prob, y.Gaps)
}
