package metrics

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// core is what a Collector reads of a dispatcher.
type core interface {
	Functions(now time.Duration, yield func(*dispatcher.FunctionInfo) bool)
	Cluster(now time.Duration) dispatcher.ClusterInfo
}

// planner is what it reads of a planner and of whoever runs it.
type planner interface {
	Forecast(now time.Duration, fn dispatcher.FnID) (prewarm.Forecast, bool)
	Last() prewarm.Round
	Mode() prewarm.Mode
}

// Options tells a Collector what to read. Core and Now are required.
type Options struct {
	Core      core
	Now       func() time.Duration // time since the start of the run, as Core reckons
	Planner   planner              // see OfController. Nil: there is none, and neither are its metrics
	Outside   *Outside             // what is counted around the core. Nil: nothing, and its metrics are not told
	Ready     func() error         // as in AdminOptions. Nil: it is not told
	Functions int                  // that have series of their own, at least 1; the rest is summed under function="other". Default 200.
	Version   string               // of the program. Default "unknown".
}

// OfController reads a planner that c runs. The planner is locked for one function at a time: a round that is due
// never waits for a whole scrape.
func OfController(c *prewarm.Controller) Controlled { return Controlled{c} }

// Controlled is a planner and its controller, as a Collector reads them.
type Controlled struct{ c *prewarm.Controller }

// Last tells how the last round went.
func (p Controlled) Last() prewarm.Round { return p.c.Last() }

// Forecast is what is expected of a function; false when nothing is known of it.
func (p Controlled) Forecast(now time.Duration, fn dispatcher.FnID) (f prewarm.Forecast, ok bool) {
	p.c.View(func(pl *prewarm.Planner) { f, ok = pl.Forecast(now, fn) })
	return f, ok
}

// Mode is the mode that is in force.
func (p Controlled) Mode() (m prewarm.Mode) {
	p.c.View(func(pl *prewarm.Planner) { m = pl.Mode() })
	return m
}

// Collector folds what dispatcher and planner count into metrics, each time it is asked. It is safe for concurrent
// use.
type Collector struct {
	opts   Options
	descs  map[string]*prometheus.Desc // by name
	bounds []float64                   // of waits, seconds

	mu     sync.Mutex // guards what follows: scrapes take turns
	top    *top
	spent  spent
	values []float64 // scratch
}

// New makes a Collector.
func New(o Options) (*Collector, error) {
	if o.Core == nil || o.Now == nil {
		return nil, errors.New("metrics: a collector needs Core and Now")
	}
	if o.Functions < 0 {
		return nil, fmt.Errorf("metrics: %d functions with series of their own, it must be at least 1", o.Functions)
	}
	if o.Functions == 0 {
		o.Functions = 200
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	c := &Collector{opts: o, descs: map[string]*prometheus.Desc{}, bounds: waitBounds(), top: newTop(o.Functions)}
	for _, g := range List() {
		for _, m := range g.Metrics {
			c.descs[m.Name] = prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
		}
	}
	return c, nil
}

// NewRegistry holds the collectors given and those of the Go runtime and of the process.
func NewRegistry(cs ...prometheus.Collector) (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	cs = append(cs, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return r, nil
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range List() {
		for _, m := range g.Metrics {
			ch <- c.descs[m.Name]
		}
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.opts.Now()
	known := c.fold(now)
	for _, r := range c.top.rows() {
		c.function(ch, r)
	}
	cluster := c.opts.Core.Cluster(now)
	emit(c, ch, clusterSeries, &cluster)
	if c.opts.Planner != nil {
		emit(c, ch, roundSeries, c.opts.Planner.Last())
		c.planner(ch, c.opts.Planner)
	}
	if c.opts.Outside != nil {
		c.outside(ch, c.opts.Outside)
	}
	c.program(ch, known)
}

func (c *Collector) planner(ch chan<- prometheus.Metric, p planner) {
	for m, word := range mode.Values {
		ch <- c.gauge(mode, float64(b2i(int(p.Mode()) == m)), word)
	}
	for k, book := range costs.Values {
		ch <- prometheus.MustNewConstMetric(c.descs[costs.Name], prometheus.CounterValue, c.spent.total[k], book)
	}
}

func (c *Collector) program(ch chan<- prometheus.Metric, known int) {
	ch <- c.gauge(functions, float64(known))
	if c.opts.Ready != nil {
		ch <- c.gauge(ready, float64(b2i(c.opts.Ready() == nil)))
	}
	ch <- c.gauge(build, 1, strings.ToValidUTF8(c.opts.Version, "?"), runtime.Version())
}

// fold reads every function and says how many there are.
func (c *Collector) fold(now time.Duration) (known int) {
	c.top.begin()
	c.opts.Core.Functions(now, func(i *dispatcher.FunctionInfo) bool {
		known++
		var f prewarm.Forecast
		var ok bool
		if c.opts.Planner != nil {
			f, ok = c.opts.Planner.Forecast(now, i.Fn)
		}
		c.top.add(i, &f, ok)
		c.spent.add(i.Fn, &f.Spent)
		return true
	})
	c.top.end()
	return known
}

func (c *Collector) function(ch chan<- prometheus.Metric, r *row) {
	fn, account := r.info.Function.Name, r.info.Function.Account
	emit(c, ch, functionSeries, &r.info, fn, account)
	if r.forecasts > 0 {
		emit(c, ch, forecastSeries, r, fn, account)
	}
	ch <- c.waits(&r.info.Count, fn, account)
}

// waits is the histogram of all calls: the core counts buckets for those that had to wait, and a warm call did not.
func (c *Collector) waits(n *dispatcher.Counters, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(c.bounds))
	sum := n.Warm
	for i, b := range c.bounds {
		sum += n.Waits[i]
		buckets[b] = sum
	}
	sum += n.Waits[len(c.bounds)]
	return prometheus.MustNewConstHistogram(c.descs[waits.Name], sum, n.WaitSum.Seconds(), buckets, labels...)
}

func (c *Collector) gauge(m Metric, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(c.descs[m.Name], prometheus.GaugeValue, v, labels...)
}

// emit sends the series of a list as they are in from. The labels are those before the last, closed one.
func emit[T any](c *Collector, ch chan<- prometheus.Metric, list []series[T], from T, labels ...string) {
	for i := range list {
		s := &list[i]
		kind := prometheus.GaugeValue
		if s.Type == Counter {
			kind = prometheus.CounterValue
		}
		c.values = s.read(from, c.values[:0])
		for k, v := range c.values {
			if math.IsNaN(v) {
				continue
			}
			all := labels
			if s.Values != nil {
				all = append(labels[:len(labels):len(labels)], s.Values[k])
			}
			ch <- prometheus.MustNewConstMetric(c.descs[s.Name], kind, v, all...)
		}
	}
}
