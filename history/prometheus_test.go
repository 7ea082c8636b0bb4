package history

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// recorded is a Prometheus that answers for one series per function: so many calls in the step that ends at a time;
// a negative number is no sample.
type recorded struct {
	t        *testing.T
	series   map[string]func(end time.Time) float64 // by function; account acc, but for "other"
	busy     float64                                // mean seconds of a call; 0: no such series
	requests atomic.Int32
	ranges   atomic.Int32
	fail     func(request int32) (status int, body string)
}

func (s *recorded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	if s.fail != nil {
		if status, body := s.fail(n); status != 0 {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return
		}
	}
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	type series struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values,omitempty"`
		Value  *[2]any           `json:"value,omitempty"`
	}
	kind, result := "matrix", []series{}
	labels := func(fn string) map[string]string {
		if fn == "other" {
			return map[string]string{"function": fn}
		}
		return map[string]string{"function": fn, "account": "acc"}
	}
	switch r.URL.Path {
	case "/prom/api/v1/query_range":
		s.ranges.Add(1)
		if q := r.Form.Get("query"); q != "sum by (function, account) (increase(forewarm_calls_total[60s]))" {
			s.t.Errorf("query %s", q)
		}
		start, end, step := number(s.t, r, "start"), number(s.t, r, "end"), number(s.t, r, "step")
		if (end-start)/step+1 > 11000 {
			s.t.Errorf("%v points are asked for", (end-start)/step+1)
		}
		for fn, calls := range s.series {
			one := series{Metric: labels(fn)}
			for at := start; at <= end; at += step {
				if v := calls(time.Unix(int64(at), 0)); v >= 0 {
					one.Values = append(one.Values, [2]any{at, strconv.FormatFloat(v, 'g', -1, 64)})
				}
			}
			if len(one.Values) > 0 {
				result = append(result, one)
			}
		}
	case "/prom/api/v1/query":
		kind = "vector"
		for fn := range s.series {
			if s.busy > 0 {
				result = append(result, series{Metric: labels(fn), Value: &[2]any{0, fmt.Sprint(s.busy)}})
			}
		}
	default:
		s.t.Errorf("request for %s", r.URL.Path)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "warnings": []string{"a warning"},
		"data": map[string]any{"resultType": kind, "result": result}})
}

func number(t *testing.T, r *http.Request, name string) float64 {
	v, err := strconv.ParseFloat(r.Form.Get(name), 64)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return v
}

func (s *recorded) load(o Options) ([]Function, Report, error) {
	server := httptest.NewServer(s)
	defer server.Close()
	o.Epoch = noon
	if o.Pause == 0 {
		o.Pause = time.Millisecond
	}
	return Load(s.t.Context(), strings.Replace(server.URL, "//", "//user:secret@", 1)+"/prom/", o)
}

func TestPrometheus(t *testing.T) {
	s := &recorded{t: t, busy: .25, series: map[string]func(time.Time) float64{
		"halves": func(time.Time) float64 { return .5 },
		"threes": func(end time.Time) float64 {
			if end.Minute()%10 == 0 {
				return 3
			}
			return 0
		},
		"other": func(time.Time) float64 { return 7 },
	}}
	functions, r, err := s.load(Options{Since: 20 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if len(functions) != 2 || functions[0].Name != "halves" || functions[1].Name != "threes" || functions[0].Account != "acc" {
		t.Fatalf("got %s", said(functions))
	}
	n := 0
	for range functions[0].Calls {
		n++
	}
	if n != 10 {
		t.Errorf("20 steps of half a call make %d calls, want 10", n)
	}
	if got, want := said(functions[1:]), "acc/threes -10m50s+250ms -10m30s+250ms -10m10s+250ms -50s+250ms -30s+250ms -10s+250ms"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if r.Functions != 2 || r.Calls != 16 || r.Unnamed != 20 || len(r.Gaps) != 0 || r.Retried != 0 || len(r.Warnings) != 1 ||
		!r.From.Equal(noon.Add(-20*time.Minute)) || !r.Until.Equal(noon) {
		t.Errorf("the report is %+v", r)
	}
}

func TestPrometheusInChunksWithGaps(t *testing.T) {
	down := noon.Add(-26 * time.Hour)
	s := &recorded{t: t, series: map[string]func(time.Time) float64{"f": func(end time.Time) float64 {
		if end.After(down) && !end.After(down.Add(30*time.Minute)) {
			return -1
		}
		return 1
	}}}
	functions, r, err := s.load(Options{Since: 48 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if s.ranges.Load() != 8 || r.Calls != 48*60-30 || len(functions) != 1 {
		t.Errorf("%d calls in %d chunks, want %d in 8", r.Calls, s.ranges.Load(), 48*60-30)
	}
	if len(r.Gaps) != 1 || !r.Gaps[0].From.Equal(down) || !r.Gaps[0].Until.Equal(down.Add(30*time.Minute)) {
		t.Errorf("gaps %v, want one of 30 minutes from %v", r.Gaps, down)
	}
	for _, took := range functions[0].Calls {
		if took != 100*time.Millisecond {
			t.Fatalf("a call takes %v where nothing is known of it", took)
		}
	}
}

func TestPrometheusIsAskedAgain(t *testing.T) {
	s := &recorded{t: t, series: map[string]func(time.Time) float64{"f": func(time.Time) float64 { return 1 }},
		fail: func(n int32) (int, string) {
			if n <= 2 {
				return http.StatusServiceUnavailable, "starting"
			}
			return 0, ""
		}}
	_, r, err := s.load(Options{Since: time.Hour})
	if err != nil || r.Retried == 0 || r.Calls != 60 {
		t.Errorf("got %v and %v, want 60 calls in the third try", r, err)
	}
}

func TestPrometheusFails(t *testing.T) {
	for _, tt := range []struct {
		about  string
		status int
		body   string
		tries  int32
		want   string
	}{
		{"down for good", 503, "no", 4, "try 4: server_error"},
		{"a question that is wrong", 400, `{"status":"error","errorType":"bad_data","error":"parse error"}`, 1, "try 1: bad_data: parse error"},
		{"not a Prometheus", 200, "<html>", 1, "try 1: bad_response"},
		{"another kind of answer", 200, `{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`, 1, "with a scalar"},
	} {
		s := &recorded{t: t, fail: func(int32) (int, string) { return tt.status, tt.body }}
		_, _, err := s.load(Options{Since: time.Hour})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error with %q and no password", tt.about, err, tt.want)
		}
		if n := s.requests.Load(); n != tt.tries {
			t.Errorf("%s: asked %d times, want %d", tt.about, n, tt.tries)
		}
	}
	_, _, err := Load(t.Context(), "http://user:secret@127.0.0.1:1", Options{Since: time.Hour, Tries: 2, Pause: time.Millisecond})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	if _, _, err = Load(t.Context(), "http:///secret", Options{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no host: %v", err)
	}
}

func TestPrometheusThatHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	_, _, err := Load(t.Context(), server.URL, Options{Timeout: 20 * time.Millisecond, Tries: 2, Pause: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "try 2") {
		t.Errorf("got %v, want that the second try came to nothing", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, _, err := Load(ctx, server.URL, Options{}); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("called off: %v after %v", err, time.Since(began))
	}
}
