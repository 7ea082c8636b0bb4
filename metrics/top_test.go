package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

func TestBusiestFunctionsHaveTheirOwnSeries(t *testing.T) {
	core := manyFunctions(10) // function-i has i+1 calls
	plan := &fakePlanner{forecasts: map[dispatcher.FnID]prewarm.Forecast{}}
	for i := range 10 {
		plan.forecasts[dispatcher.FnID(i)] = prewarm.Forecast{Rate: 1, Want: 2}
	}
	families := gather(t, newCollector(t, Options{Core: core, Planner: plan, Now: noon, Functions: 3}))
	for _, tt := range []struct {
		metric, labels string
		want           float64
	}{
		{"forewarm_calls_total", "function=function-9,account=account-2,start=warm", 8},
		{"forewarm_calls_total", "function=function-9,account=account-2,start=cold", 2},
		{"forewarm_calls_total", "function=function-7,start=warm", 6},
		{"forewarm_calls_total", "function=other,account=,start=warm", 1 + 2 + 3 + 3 + 4 + 5 + 6},
		{"forewarm_calls_total", "function=other,start=cold", 4},
		{"forewarm_call_wait_seconds", "function=other", 28},
		{"forewarm_containers", "function=other,state=ready", 7},
		{"forewarm_forecast_rate", "function=other", 7},
		{"forewarm_wanted_levels", "function=other", 14},
		{"forewarm_functions", "", 10},
	} {
		if got := value(t, families, tt.metric, tt.labels); got != tt.want {
			t.Errorf("%s{%s} is %v, want %v", tt.metric, tt.labels, got, tt.want)
		}
	}
	if n := len(families["forewarm_waiting"].Metric); n != 4 {
		t.Errorf("%d functions are told, want 3 and other", n)
	}
}

func TestNoRestWhereAllAreListed(t *testing.T) {
	families := gather(t, newCollector(t, Options{Core: manyFunctions(3), Now: noon, Functions: 3}))
	for _, m := range families["forewarm_waiting"].Metric {
		if matches(m, "function=other") {
			t.Error("function=other is told, and no function is left for it")
		}
	}
}

// Functions whose labels would be refused, or taken for those of the rest, are summed under it.
func TestNamesThatMayNotBeLabels(t *testing.T) {
	core := &fakeCore{}
	for i, f := range []cluster.Function{{Name: "good"}, {Name: "other"}, {Name: "bad\xff"}, {Name: "x", Account: "bad\xff"}, {Name: "other", Account: "bob"}} {
		core.functions = append(core.functions, dispatcher.FunctionInfo{Fn: dispatcher.FnID(i), Function: f, Waiting: 1 << i})
	}
	families := gather(t, newCollector(t, Options{Core: core, Now: noon}))
	for labels, want := range map[string]float64{"function=good": 1, "function=other,account=": 2 + 4 + 8, "function=other,account=bob": 16} {
		if got := value(t, families, "forewarm_waiting", labels); got != want {
			t.Errorf("waiting{%s} is %v, want %v", labels, got, want)
		}
	}
}

func TestListedFunctionGivesWayOnlyToOneWithATenthMore(t *testing.T) {
	core := manyFunctions(2)
	core.functions[0].Count.Warm, core.functions[1].Count = 100, dispatcher.Counters{Warm: 90}
	c := newCollector(t, Options{Core: core, Now: noon, Functions: 1})
	for _, tt := range []struct {
		calls uint64 // of function-1, while function-0 has 100
		want  string
	}{{90, "function-0"}, {110, "function-0"}, {111, "function-1"}, {111, "function-1"}} {
		core.functions[1].Count.Warm = tt.calls
		value(t, gather(t, c), "forewarm_waiting", "function="+tt.want)
	}
}

// TestRestNeverJumps runs functions that overtake one another. At every scrape, whatever is listed, a counter of
// the rest has grown by what the functions in it counted since the last, no more and no less.
func TestRestNeverJumps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	core := manyFunctions(12)
	c := newCollector(t, Options{Core: core, Now: noon, Functions: 4})
	gather(t, c)
	want, changed := c.top.rest.info.Count, 0
	for scrape := range 300 {
		before := c.top.listed
		grown := pass(rng, core, scrape)
		known := len(core.functions)
		if scrape%50 == 49 { // a new one, which at once is the busiest
			core.functions = append(core.functions, dispatcher.FunctionInfo{Fn: dispatcher.FnID(known),
				Function: cluster.Function{Name: fmt.Sprint("new-", known)}, Count: dispatcher.Counters{Warm: 1 << (22 + scrape/50)}})
		}
		families := gather(t, c)
		for i := range known {
			_, was := before[dispatcher.FnID(i)]
			_, is := c.top.listed[dispatcher.FnID(i)]
			if was != is {
				changed++
			}
			if !was || !is { // it counted into the rest, be it for the last time or the first
				addCounters(&want, &grown[i], 1)
			}
		}
		if got := c.top.rest.info.Count; got != want {
			t.Fatalf("scrape %d: the rest counts %+v, want %+v", scrape, got, want)
		}
		if v := value(t, families, "forewarm_calls_total", "function=other,account=,start=warm"); v != float64(want.Warm) {
			t.Fatalf("scrape %d: the rest tells %v warm calls, want %d", scrape, v, want.Warm)
		}
	}
	if changed < 20 {
		t.Errorf("functions changed places %d times: the test shows little", changed)
	}
}

// pass lets a while pass in which each function is called, some more than others as the hour has it. It tells what
// each counted.
func pass(rng *rand.Rand, core *fakeCore, hour int) []dispatcher.Counters {
	grown := make([]dispatcher.Counters, len(core.functions))
	for i := range core.functions {
		calls := rng.IntN(1 + (i*7+hour/20)%13*40)
		cold := uint64(calls / 10)
		g := dispatcher.Counters{Warm: uint64(calls), Cold: cold, WaitSum: time.Duration(cold) * 333 * time.Millisecond}
		g.Waits[8] = cold
		addCounters(&core.functions[i].Count, &g, 1)
		grown[i] = g
	}
	return grown
}

// TestAddCountersForgetsNone sets every field there is.
func TestAddCountersForgetsNone(t *testing.T) {
	var one, sum dispatcher.Counters
	var set func(v reflect.Value)
	next := 1
	set = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				set(v.Field(i))
			}
		case reflect.Array:
			for i := range v.Len() {
				set(v.Index(i))
			}
		case reflect.Uint64:
			v.SetUint(uint64(next))
		case reflect.Int64:
			v.SetInt(int64(next))
		default:
			t.Fatalf("a counter of kind %v", v.Kind())
		}
		next++
	}
	set(reflect.ValueOf(&one).Elem())
	addCounters(&sum, &one, 1)
	if sum != one {
		t.Errorf("0 + %+v = %+v", one, sum)
	}
	addCounters(&sum, &one, -1)
	if sum != (dispatcher.Counters{}) {
		t.Errorf("subtracting leaves %+v", sum)
	}
}

// TestManyFunctions: with 2,000 functions a scrape holds the series of 200 and of the rest, and nothing is lost.
func TestManyFunctions(t *testing.T) {
	const n = 2000
	families := gather(t, newCollector(t, Options{Core: manyFunctions(n), Now: noon}))
	total, series := 0., 0
	var list []*dto.MetricFamily
	for _, f := range families {
		list = append(list, f)
		series += len(f.Metric)
	}
	for _, m := range families["forewarm_calls_total"].Metric {
		total += m.Counter.GetValue()
	}
	if want := float64(n * (n + 1) / 2); total != want {
		t.Errorf("%v calls are told, want %v", total, want)
	}
	if most := 201*25 + 50; series > most {
		t.Errorf("%d series are told, want at most %d: the cap does not hold", series, most)
	}
	if size := len(text(t, list)); size > 1<<20 {
		t.Errorf("the exposition has %d bytes, want at most 1 MiB", size)
	}
	waits := families["forewarm_call_wait_seconds"]
	for _, m := range waits.Metric {
		h := m.Histogram
		if got := h.Bucket[len(h.Bucket)-1].GetCumulativeCount(); got != h.GetSampleCount() || math.IsNaN(h.GetSampleSum()) {
			t.Fatalf("buckets hold %d of %d calls", got, h.GetSampleCount())
		}
	}
}

// TestScrapesTakeTurns is for the race detector.
func TestScrapesTakeTurns(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(t, Options{Core: manyFunctions(300), Now: noon, Functions: 20}))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				if _, err := r.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
