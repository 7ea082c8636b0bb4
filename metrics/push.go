package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// PushOptions tells where metrics are pushed to. URL and Write are required.
type PushOptions struct {
	URL    string          // such as http://victoria:8428/api/v1/import/prometheus
	Every  time.Duration   // between pushes, at least 1 s. Default 10 s.
	Labels string          // added to every series, such as `job="forewarm",instance="a"`. Default none: then schedulers cannot be told apart
	Header []string        // of the request, such as "Authorization: Bearer abc". Default none.
	Write  func(io.Writer) // writes the exposition, see Text
	Log    *slog.Logger    // of pushes that fail, and of the first that goes well again. Default none.
}

func (p PushOptions) withDefaults() (PushOptions, error) {
	if p.Every == 0 {
		p.Every = 10 * time.Second
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil:
		return p, errors.New("metrics: the URL to push to cannot be read") // the error would quote a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return p, fmt.Errorf("metrics: cannot push to %q: want http://host:port/api/v1/import/prometheus, or https", u.Redacted())
	case p.Every < time.Second:
		return p, fmt.Errorf("metrics: a push every %v: want at least 1s", p.Every)
	case p.Write == nil:
		return p, errors.New("metrics: nothing to push: Write is missing")
	}
	return p, p.checkLabels()
}

// checkLabels has the library look at labels and headers: a push that was cancelled before it began does no more.
func (p *PushOptions) checkLabels() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.send(ctx, func(io.Writer) {}); err != nil {
		return fmt.Errorf("metrics: pushes: %w", err)
	}
	return nil
}

func (p *PushOptions) send(ctx context.Context, write func(io.Writer)) error {
	return vm.PushMetricsExt(ctx, p.URL, write, &vm.PushOptions{ExtraLabels: p.Labels, Headers: p.Header, Method: http.MethodPost})
}

// Push sends metrics to a server that imports Prometheus's text, as VictoriaMetrics does, until ctx ends. It is for
// places that nobody can scrape.
//
// A push that fails is not made up for: counters go on, so that the next one tells all but the moments in between.
func (o *Outside) Push(ctx context.Context, p PushOptions) error {
	p, err := p.withDefaults()
	if err != nil {
		return err
	}
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	away := false
	for {
		err := o.pushOnce(ctx, &p)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !away:
			p.Log.Warn("metrics cannot be pushed; it is tried again and again", "every", p.Every, "error", err)
		case err == nil && away:
			p.Log.Info("metrics are pushed again")
		}
		away = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pushOnce gives a push until the next one is due.
func (o *Outside) pushOnce(ctx context.Context, p *PushOptions) error {
	ctx, cancel := context.WithTimeout(ctx, p.Every)
	defer cancel()
	err := p.send(ctx, p.Write)
	if o != nil {
		o.pushes.count(err)
	}
	return err
}

// Text writes all that g gathers, as /metrics does. What cannot be gathered is logged and left out.
func Text(g prometheus.Gatherer, log *slog.Logger) func(io.Writer) {
	return func(w io.Writer) {
		families, err := g.Gather()
		if err != nil {
			log.Error("metrics cannot be gathered in full", "error", err)
		}
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
				log.Error("a metric cannot be written", "name", f.GetName(), "error", err)
				return
			}
		}
	}
}
