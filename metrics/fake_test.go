package metrics

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// fakeCore tells what it is made of.
type fakeCore struct {
	functions []dispatcher.FunctionInfo
	cluster   dispatcher.ClusterInfo
}

func (c *fakeCore) Functions(_ time.Duration, yield func(*dispatcher.FunctionInfo) bool) {
	for i := range c.functions {
		lent := c.functions[i] // as the core does, which reuses it
		if !yield(&lent) {
			return
		}
		lent = dispatcher.FunctionInfo{}
	}
}

func (c *fakeCore) Cluster(time.Duration) dispatcher.ClusterInfo { return c.cluster }

// fakePlanner knows some functions.
type fakePlanner struct {
	round     prewarm.Round
	mode      prewarm.Mode
	forecasts map[dispatcher.FnID]prewarm.Forecast
}

func (p *fakePlanner) Last() prewarm.Round { return p.round }

func (p *fakePlanner) Mode() prewarm.Mode { return p.mode }

func (p *fakePlanner) Forecast(_ time.Duration, fn dispatcher.FnID) (prewarm.Forecast, bool) {
	f, ok := p.forecasts[fn]
	return f, ok
}

func noon() time.Duration { return 12 * time.Hour }

// manyFunctions have 1, 2, 3, ... calls, one in four of them cold with a wait of 300 ms.
func manyFunctions(n int) *fakeCore {
	c := &fakeCore{}
	for i := range n {
		f := dispatcher.FunctionInfo{Fn: dispatcher.FnID(i), Ready: 1, Function: cluster.Function{Account: fmt.Sprint("account-", i%7), Name: fmt.Sprint("function-", i)}}
		calls := uint64(i + 1)
		cold := calls / 4
		f.Count.Warm, f.Count.Cold, f.Count.Waits[8], f.Count.WaitSum = calls-cold, cold, cold, time.Duration(cold)*300*time.Millisecond
		c.functions = append(c.functions, f)
	}
	return c
}

func newCollector(t testing.TB, o Options) *Collector {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// gather scrapes collectors. The pedantic registry also holds them to what they described.
func gather(t testing.TB, c *Collector) map[string]*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]*dto.MetricFamily{}
	for _, f := range families {
		m[f.GetName()] = f
	}
	return m
}

// text writes families out, in the order given.
func text(t testing.TB, families []*dto.MetricFamily) string {
	t.Helper()
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// value finds the one series of a metric that has the labels given, as in `function=a,start=warm`.
func value(t testing.TB, families map[string]*dto.MetricFamily, name, labels string) float64 {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		if !matches(m, labels) {
			continue
		}
		switch {
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	t.Fatalf("no series %s{%s}", name, labels)
	return 0
}

func matches(m *dto.Metric, labels string) bool {
	if labels == "" {
		return true
	}
	for want := range strings.SplitSeq(labels, ",") {
		found := false
		for _, l := range m.Label {
			found = found || l.GetName()+"="+l.GetValue() == want
		}
		if !found {
			return false
		}
	}
	return true
}
