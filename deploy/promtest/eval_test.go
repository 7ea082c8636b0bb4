package promtest

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
)

// prom is as much of Prometheus as is needed: a store, the engine, and what scrapes and records by the second.
type prom struct {
	store  *teststorage.TestStorage
	engine *promql.Engine
	base   labels.Labels // added to what is scraped
	now    time.Time     // of the last scrape
	series int           // in the last scrape
}

func newProm(t *testing.T) *prom {
	p := &prom{store: teststorage.New(t), base: labels.FromStrings("instance", "forewarm:10700", "job", "forewarm"),
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: 10 * time.Second, Parser: promQL})}
	t.Cleanup(func() { _ = p.engine.Close() })
	return p
}

// scrape stores what a page shows, by Prometheus's own reading of the format that is asked for.
func (p *prom) scrape(t *testing.T, url, accept string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	fatal(t, err)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	fatal(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fatal(t, err)
	parse, err := textparse.New(body, resp.Header.Get("Content-Type"), labels.NewSymbolTable(), textparse.ParserOptions{})
	fatal(t, err)

	p.now, p.series = time.Now(), 0
	app := p.store.Appender(t.Context())
	p.append(t, app, labels.FromStrings(model.MetricNameLabel, "up"), 1)
	for {
		entry, err := parse.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is no exposition of the type %s: %v", url, resp.Header.Get("Content-Type"), err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		parse.Labels(&l)
		_, _, v := parse.Series() // the time is ours: pages show none
		p.append(t, app, l, v)
	}
	fatal(t, app.Commit())
}

// record evaluates recording rules, as of the last scrape.
func (p *prom) record(t *testing.T, rules []rulefmt.Rule) {
	t.Helper()
	for _, r := range rules {
		app := p.store.Appender(t.Context())
		for _, s := range p.eval(t, r.Expr) {
			b := labels.NewBuilder(s.Metric).Set(model.MetricNameLabel, r.Record)
			for k, v := range r.Labels {
				b.Set(k, v)
			}
			_, err := app.Append(0, b.Labels(), p.now.UnixMilli(), s.F)
			fatal(t, err)
		}
		fatal(t, app.Commit()) // so that the next rule sees it
	}
}

// eval is the value of an expression as of the last scrape.
func (p *prom) eval(t *testing.T, expr string) promql.Vector {
	t.Helper()
	q, err := p.engine.NewInstantQuery(context.WithoutCancel(t.Context()), p.store, nil, expr, p.now)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	res := q.Exec(t.Context())
	if res.Err != nil {
		t.Fatalf("%s: %v", expr, res.Err)
	}
	if len(res.Warnings) > 0 {
		t.Errorf("%s: the engine warns: %v", expr, res.Warnings.AsErrors())
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return v
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}
	}
	t.Fatalf("%s is a %s, and neither rules nor panels take these", expr, res.Value.Type())
	return nil
}

// hasData complains unless an expression has a value that is a number.
func (p *prom) hasData(t *testing.T, where, expr string) {
	t.Helper()
	v := p.eval(t, expr)
	for _, s := range v {
		if !math.IsNaN(s.F) {
			return
		}
	}
	t.Errorf("%s: %d values and no number among them: %s", where, len(v), expr)
}

const (
	runTime   = 26 * time.Second
	plainText = "text/plain;version=0.0.4"
	openText  = "application/openmetrics-text;version=1.0.0"
)

// TestEveryExpressionFindsData plays a real run, scrapes it every second, and asks every rule and every panel.
func TestEveryExpressionFindsData(t *testing.T) {
	recording, alerts := rules(t)
	r, p := startRun(t), newProm(t)
	p.watch(t, r, recording)
	t.Logf("calls: %v; %d series at the end", r, p.series)

	for _, rule := range recording {
		p.hasData(t, "rule "+rule.Record, rule.Expr)
		p.hasData(t, "what is recorded as", rule.Record)
	}
	for _, rule := range alerts {
		e, err := promQL.ParseExpr(rule.Expr)
		fatal(t, err)
		for _, b := range blocks(e) {
			p.hasData(t, "alert "+rule.Alert, b.String())
		}
	}
	panels := dashboard(t)
	for _, e := range panels {
		if e.where == "annotation Restarts" { // is empty while there are none
			e.text = blocks(mustParse(t, e.text))[0].String()
		}
		p.hasData(t, e.where, e.text)
	}
	t.Logf("%d recording rules, %d alerts and %d expressions of the dashboard were evaluated", len(recording), len(alerts), len(panels))
	r.check(t, p)
}

func mustParse(t *testing.T, s string) parser.Expr {
	t.Helper()
	e, err := promQL.ParseExpr(s)
	fatal(t, err)
	return e
}

// watch scrapes while the run plays, in both formats by turns, and records every few seconds.
func (p *prom) watch(t *testing.T, r *run, recording []rulefmt.Rule) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTime)
	defer cancel()
	played := make(chan struct{})
	go func() { defer close(played); r.play(t, ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 1; ; i++ {
		p.scrape(t, r.admin.URL+"/metrics", []string{plainText, openText}[i%2])
		if i%5 == 0 {
			p.record(t, recording)
		}
		select {
		case <-played:
			p.scrape(t, r.admin.URL+"/metrics", plainText)
			p.record(t, recording)
			return
		case <-tick.C:
		}
	}
}

// check compares what Prometheus knows with what callers were told: data may be there and wrong.
func (r *run) check(t *testing.T, p *prom) {
	t.Helper()
	r.served.Lock()
	defer r.served.Unlock()
	for how, n := range r.calls {
		got := p.eval(t, `sum(forewarm_calls_total{start="`+how+`"})`)
		if len(got) != 1 || got[0].F != float64(n) {
			t.Errorf("%s calls: Prometheus knows of %v, callers of %d", how, got, n)
		}
	}
	for _, how := range []string{"warm", "cold"} {
		if r.calls[how] == 0 {
			t.Errorf("no call was %s: the run shows too little", how)
		}
	}
}

// TestPromtool asks the checker that operators have about a real scrape, of a run that has just begun.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: the scrape was not checked by it (Debian has it in the package prometheus)")
	}
	r := startRun(t)
	r.call(t, "hello")
	resp, err := http.Get(r.admin.URL + "/metrics")
	fatal(t, err)
	defer resp.Body.Close()
	c := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	c.Stdin = resp.Body
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// append adds the labels of a scrape to a series and stores its value.
func (p *prom) append(t *testing.T, app storage.Appender, l labels.Labels, v float64) {
	t.Helper()
	b := labels.NewBuilder(l)
	p.base.Range(func(x labels.Label) { b.Set(x.Name, x.Value) })
	if _, err := app.Append(0, b.Labels(), p.now.UnixMilli(), v); err != nil {
		t.Fatalf("%v: %v", l, err)
	}
	p.series++
}
