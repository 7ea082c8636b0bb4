package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

const (
	chunkSteps = 360       // asked for at once: a Prometheus answers with 11,000 points a series at most
	maxAnswer  = 256 << 20 // bytes of one answer

	others = "other" // under which, without an account, forewarm's metrics sum up functions that have no series
)

// prometheus reads counts.
type prometheus struct {
	api  promv1.API
	name string // for people: without credentials
	b    *book
	rest map[key]float64 // of counts that were rounded, so that their sum stays
	step time.Duration
}

func readPrometheus(ctx context.Context, base string, b *book) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return errors.New("history: not the base URL of a Prometheus; it is like http://127.0.0.1:9090") // it may hold a password
	}
	client := *b.opts.Client
	client.Transport = limited{client.Transport}
	c, err := api.NewClient(api.Config{Address: base, Client: &client})
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	p := &prometheus{api: promv1.NewAPI(c), name: u.Scheme + "://" + u.Host + u.Path, b: b, rest: map[key]float64{}, step: b.opts.Step}
	return p.read(ctx)
}

// read asks chunk by chunk. Points stand on multiples of the step, each for the step that ends there.
func (p *prometheus) read(ctx context.Context) error {
	until := p.b.opts.Epoch.Truncate(p.step)
	from := until.Add(-p.b.opts.Since.Truncate(p.step))
	p.b.report.From, p.b.report.Until = from, until
	for at := from.Add(p.step); !at.After(until); at = at.Add(chunkSteps * p.step) {
		end := at.Add((chunkSteps - 1) * p.step)
		if end.After(until) {
			end = until
		}
		if err := p.chunk(ctx, at, end); err != nil {
			return err
		}
	}
	if len(p.b.m) == 0 {
		return nil // nothing was called, or nothing recorded: the report has the gaps
	}
	return p.services(ctx, until)
}

// chunk reads the steps that end at from, and so on, until the one that ends at end.
func (p *prometheus) chunk(ctx context.Context, from, end time.Time) error {
	query := fmt.Sprintf("sum by (function, account) (increase(forewarm_calls_total[%ds]))", int64(p.step.Seconds()))
	var m model.Matrix
	err := p.ask(ctx, query, func(ctx context.Context) (model.Value, promv1.Warnings, error) {
		v, w, _, err := p.api.QueryRange(ctx, query, promv1.Range{Start: from, End: end, Step: p.step})
		return v, w, err
	}, func(v model.Value) (ok bool) { m, ok = v.(model.Matrix); return ok })
	if err != nil {
		return err
	}
	slices.SortFunc(m, func(a, b *model.SampleStream) int { // the order decides what is beyond Options.MaxFunctions
		switch {
		case a.Metric.Before(b.Metric):
			return -1
		case b.Metric.Before(a.Metric):
			return 1
		}
		return 0
	})
	known := make([]bool, int(end.Sub(from)/p.step)+1)
	for _, s := range m {
		k := key{string(s.Metric["account"]), string(s.Metric["function"])}
		for _, v := range s.Values {
			at := v.Timestamp.Time()
			if i := int(at.Sub(from) / p.step); i >= 0 && i < len(known) {
				known[i] = true
				p.count(k, at.Add(-p.step), float64(v.Value))
			}
		}
	}
	for i, ok := range known {
		if !ok {
			p.gap(from.Add(time.Duration(i-1) * p.step))
		}
	}
	return nil
}

// count enters the calls of one step. An increase is extrapolated to the step's ends, and so no whole number.
func (p *prometheus) count(k key, from time.Time, increase float64) {
	if !(increase > 0) || increase > maxCount {
		return
	}
	if k.name == "" || k.account == "" && k.name == others {
		p.b.report.Unnamed++
		return
	}
	all := increase + p.rest[k]
	n := math.Floor(all + .5)
	p.rest[k] = all - n
	if n > 0 {
		p.b.add(k.account, k.name, from, untimed, int64(n))
	}
}

// gap notes a step without samples; steps side by side make one gap.
func (p *prometheus) gap(from time.Time) {
	gaps := p.b.report.Gaps
	if n := len(gaps); n > 0 && gaps[n-1].Until.Equal(from) {
		gaps[n-1].Until = from.Add(p.step)
		return
	}
	p.b.report.Gaps = append(gaps, Gap{from, from.Add(p.step)})
}

// services asks how long calls took in the mean. Where calls shared a container they took longer than that: it is the
// container's time that is counted. What cannot be had is left to Options.Service.
func (p *prometheus) services(ctx context.Context, until time.Time) error {
	span := int64(p.b.opts.Since.Seconds())
	query := fmt.Sprintf("sum by (function, account) (increase(forewarm_container_seconds_total{state=\"busy\"}[%ds])) / "+
		"sum by (function, account) (increase(forewarm_calls_total[%ds]))", span, span)
	var v model.Vector
	err := p.ask(ctx, query, func(ctx context.Context) (model.Value, promv1.Warnings, error) {
		v, w, _, err := p.api.Query(ctx, query, until)
		return v, w, err
	}, func(got model.Value) (ok bool) { v, ok = got.(model.Vector); return ok })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.warn(fmt.Sprintf("calls count as %v long: %v", p.b.opts.Service, err))
		return nil
	}
	for _, s := range v {
		f := p.b.m[key{string(s.Metric["account"]), string(s.Metric["function"])}]
		if took := float64(s.Value); f != nil && took > 0 && took <= maxService.Seconds() {
			f.service = time.Duration(took * float64(time.Second))
		}
	}
	return nil
}

func (p *prometheus) warn(w string) {
	if ws := p.b.report.Warnings; len(ws) < 10 && !slices.Contains(ws, w) {
		p.b.report.Warnings = append(ws, w)
	}
}

// ask sends a query, again after a pause if the fault may pass.
func (p *prometheus) ask(ctx context.Context, query string, send func(context.Context) (model.Value, promv1.Warnings, error), take func(model.Value) bool) error {
	pause := p.b.opts.Pause
	for try := 1; ; try++ {
		bounded, cancel := context.WithTimeout(ctx, p.b.opts.Timeout)
		v, warnings, err := send(bounded)
		cancel()
		for _, w := range warnings {
			p.warn(w)
		}
		switch {
		case err == nil && take(v):
			return nil
		case err == nil:
			return fmt.Errorf("history: %s answered %s with a %s, which that is not", p.name, query, v.Type())
		case ctx.Err() != nil:
			return ctx.Err()
		case try >= p.b.opts.Tries || !passing(err):
			return fmt.Errorf("history: %s, query %s, try %d: %w", p.name, query, try, bare(err))
		}
		p.b.report.Retried++
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// passing says whether it may go better the next time: not if the question was wrong, or the answer too long.
func passing(err error) bool {
	var e *promv1.Error
	if errors.As(err, &e) {
		return e.Type == promv1.ErrServer || e.Type == promv1.ErrTimeout || e.Type == promv1.ErrCanceled
	}
	return !errors.Is(err, errAnswer)
}

// bare takes the URL out of an error, which may hold a password or a token.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

var errAnswer = fmt.Errorf("the answer is longer than %d bytes: name a smaller Options.Since or a larger Options.Step", maxAnswer)

// limited bounds answers, which the API's client reads whole.
type limited struct{ inner http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	inner := l.inner
	if inner == nil {
		inner = http.DefaultTransport
	}
	resp, err := inner.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errAnswer
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
