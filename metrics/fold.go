package metrics

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// folded is a series of an Outside, as client_golang tells it.
type folded struct {
	desc *prometheus.Desc
	from *dto.Metric
}

// Desc implements [prometheus.Metric].
func (f folded) Desc() *prometheus.Desc { return f.desc }

// Write implements [prometheus.Metric].
func (f folded) Write(m *dto.Metric) error {
	m.Label, m.Counter, m.Gauge, m.Histogram = f.from.Label, f.from.Counter, f.from.Gauge, f.from.Histogram
	return nil
}

// outside tells what an Outside has counted. The set writes itself as text without types; with the types of our own
// list in front it can be read back, so that two libraries end in one exposition with one help text a metric.
func (c *Collector) outside(ch chan<- prometheus.Metric, o *Outside) {
	var b bytes.Buffer
	for _, m := range outsideMetrics {
		fmt.Fprintf(&b, "# TYPE %s %s\n", m.Name, m.Type)
	}
	o.set.WritePrometheus(&b)
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(&b)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.descs[orders.Name], fmt.Errorf("metrics outside the core: %w", err))
	}
	for _, m := range outsideMetrics {
		for _, s := range families[m.Name].GetMetric() {
			slices.SortFunc(s.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
			slices.SortFunc(s.GetHistogram().GetBucket(), func(a, b *dto.Bucket) int { return cmp.Compare(a.GetUpperBound(), b.GetUpperBound()) })
			ch <- folded{c.descs[m.Name], s}
		}
	}
}
