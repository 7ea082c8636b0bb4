package metrics

import (
	"flag"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/*.txt and docs/metrics.md as they would be now; then read the diff")

// busyDay has every field set, each to a number of its own, so that no two can be confused.
func busyDay() (*fakeCore, *fakePlanner) {
	s := time.Second
	hello := dispatcher.FunctionInfo{
		Fn: 0, Function: cluster.Function{Account: "alice", Name: "hello"}, Ready: 5, Idle: 2, Starting: 1, Stopping: 3, Waiting: 4, Leased: 6,
		Start:   dispatcher.Times{N: 9, P10: s / 4, P50: s / 2, P90: s, P99: 2 * s},
		Service: dispatcher.Times{N: 9, P10: s / 100, P50: s / 50, P90: s / 20, P99: s / 10},
		Count: dispatcher.Counters{Warm: 100, Waited: 20, Cold: 10, Refused: 31, TimedOut: 32, Cancelled: 33, Returned: 120, Failed: 7, Expired: 8,
			Started: 41, StartFailed: 42, Stopped: 43, EventsLost: 44, WaitSum: 25 * s,
			Idle: 60 * s, Starting: 61 * s, Stopping: 62 * s, ReadyIn: 100 * s},
	}
	hello.Count.Waits[0], hello.Count.Waits[8], hello.Count.Waits[len(hello.Count.Waits)-1] = 20, 9, 1
	awkward := dispatcher.FunctionInfo{Fn: 1, Function: cluster.Function{Name: "quote\" and \\ and\nline"}}
	core := &fakeCore{functions: []dispatcher.FunctionInfo{hello, awkward}, cluster: dispatcher.ClusterInfo{
		Asked: 2, Target: 7, InLine: 3, NodeTime: 500 * s, Reserved: 11, Failed: 12, Released: 13, Lost: 14, Reclaimed: 15,
		Nodes: []dispatcher.NodeInfo{
			{Node: cluster.Node{Memory: 3 * cluster.GiB}, Booked: cluster.GiB},
			{Node: cluster.Node{Memory: 3 * cluster.GiB}, Booked: cluster.MiB, Draining: true},
			{Node: cluster.Node{Memory: 3 * cluster.GiB}, Draining: true, Releasing: true},
			{Node: cluster.Node{Memory: 3 * cluster.GiB}, Releasing: true, Lost: true},
		}}}
	return core, &fakePlanner{
		round:     prewarm.Round{Rounds: 1000, Took: s / 1000, Max: s / 100, Late: s / 500, Carry: 5, Sum: 2 * s, News: 3, Levels: 2},
		mode:      prewarm.Shadow,
		forecasts: map[dispatcher.FnID]prewarm.Forecast{0: {Rate: 2.5, Busy: .75, Want: 4, Ahead: 7, Kappa: 45 * s, Fallback: true, Spent: spentAccount(30, 20, 40)}},
	}
}

// spentAccount has the costs given.
func spentAccount(live, forecast, reactive float64) prewarm.Account {
	return prewarm.Account{Live: prewarm.Book{Cost: live}, Forecast: prewarm.Book{Cost: forecast}, Reactive: prewarm.Book{Cost: reactive}}
}

// busyOptions read all that a busy day has.
func busyOptions() Options {
	core, plan := busyDay()
	return Options{Core: core, Planner: plan, Now: noon, Outside: busyOutside(), Version: "v1.2.3", Ready: func() error { return nil }}
}

// TestExposition holds every series of a busy day against testdata/exposition.txt.
func TestExposition(t *testing.T) {
	c := newCollector(t, busyOptions())
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(text(t, families), runtime.Version(), "GOVERSION")
	golden(t, "testdata/exposition.txt", got)
}

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s differs from line %d on:\n got  %q\n want %q\nrun go test ./metrics -rewrite and read the diff",
				file, i+1, g[min(i, len(g)):min(i+1, len(g))], w[min(i, len(w)):min(i+1, len(w))])
		}
	}
}

// TestLint asks Prometheus's own checker, about the whole of what the admin port would show.
func TestLint(t *testing.T) {
	r := newTestRegistry(t)
	NewAdmin(AdminOptions{Registry: r})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestListIsWhatIsTold compares the table with what comes out of a scrape.
func TestListIsWhatIsTold(t *testing.T) {
	families := gather(t, newCollector(t, busyOptions()))
	told := 0
	for _, g := range List() {
		for _, m := range g.Metrics {
			f := families[m.Name]
			if f == nil {
				t.Errorf("%s is in the list and not told", m.Name)
				continue
			}
			told++
			if got := strings.ToLower(f.GetType().String()); got != string(m.Type) {
				t.Errorf("%s is told as %s, listed as %s", m.Name, got, m.Type)
			}
			var labels []string
			values := map[string]bool{}
			for _, l := range f.Metric[0].Label {
				labels = append(labels, l.GetName())
			}
			for _, s := range f.Metric {
				for _, l := range s.Label {
					if m.Values != nil && l.GetName() == m.Labels[len(m.Labels)-1] {
						values[l.GetValue()] = true
					}
				}
			}
			if want := slices.Sorted(slices.Values(m.Labels)); !slices.Equal(labels, want) {
				t.Errorf("%s has the labels %v, listed are %v", m.Name, labels, want)
			}
			if len(values) != len(m.Values) {
				t.Errorf("%s has the values %v, listed are %v", m.Name, values, m.Values)
			}
		}
	}
	if told != len(families) {
		t.Errorf("%d metrics are told, %d of them listed", len(families), told)
	}
}

func TestWithoutPlannerNothingIsSaidOfIt(t *testing.T) {
	core, _ := busyDay()
	families := gather(t, newCollector(t, Options{Core: core, Now: noon}))
	for name := range families {
		if strings.HasPrefix(name, "forewarm_planner_") || name == "forewarm_forecast_rate" {
			t.Errorf("%s is told, and there is no planner", name)
		}
	}
	if got := value(t, families, "forewarm_calls_total", "function=hello,start=warm"); got != 100 {
		t.Errorf("warm calls of hello: %v, want 100", got)
	}
}

func TestBadOptions(t *testing.T) {
	core, _ := busyDay()
	for _, tt := range []struct {
		claim string
		opts  Options
		want  string
	}{
		{"nothing to read", Options{Now: noon}, "needs Core and Now"},
		{"no time", Options{Core: core}, "needs Core and Now"},
		{"negative cap", Options{Core: core, Now: noon, Functions: -1}, "-1 functions with series of their own"},
	} {
		if _, err := New(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that says %q", tt.claim, err, tt.want)
		}
	}
}

// TestVersionThatIsNoText: what a linker put in cannot spoil a scrape.
func TestVersionThatIsNoText(t *testing.T) {
	families := gather(t, newCollector(t, Options{Core: &fakeCore{}, Now: noon, Version: "v\xff"}))
	if got := value(t, families, "forewarm_build_info", "version=v?"); got != 1 {
		t.Errorf("build info is %v, want 1", got)
	}
}
