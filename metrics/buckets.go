package metrics

import (
	"strconv"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
)

// buckets is a histogram of durations with the core's bounds of waits. Its parts are counted one by one: a scrape in
// between may find a bucket ahead of the count by what is being added, which the next scrape puts right.
type buckets struct {
	bounds []float64     // seconds, ascending
	le     []*vm.Counter // what is not above the bound
	sum    *vm.FloatCounter
	count  *vm.Counter
}

func newBuckets(s *vm.Set, m Metric, labels ...string) buckets {
	b := buckets{bounds: waitBounds()}
	for _, bound := range b.bounds {
		le := strconv.FormatFloat(bound, 'g', -1, 64)
		b.le = append(b.le, s.NewCounter(seriesName(m.Name+"_bucket", append(labels[:len(labels):len(labels)], "le", le)...)))
	}
	b.sum = s.NewFloatCounter(seriesName(m.Name+"_sum", labels...))
	b.count = s.NewCounter(seriesName(m.Name+"_count", labels...))
	return b
}

func (b *buckets) add(d time.Duration) {
	s := d.Seconds()
	b.count.Inc()
	b.sum.Add(s)
	for i := len(b.bounds) - 1; i >= 0 && s <= b.bounds[i]; i-- {
		b.le[i].Inc()
	}
}
