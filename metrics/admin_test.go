package metrics

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func newTestRegistry(t *testing.T) *prometheus.Registry {
	t.Helper()
	r, err := NewRegistry(newCollector(t, busyOptions()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAdminPages(t *testing.T) {
	var notReady error
	h := NewAdmin(AdminOptions{Registry: newTestRegistry(t), Ready: func() error { return notReady }})
	for _, tt := range []struct {
		claim, method, path string
		ready               error
		code                int
		body                string // that the answer begins with
	}{
		{"alive", "GET", "/healthz", nil, 200, "ok\n"},
		{"alive though not ready", "GET", "/healthz", errors.New("x"), 200, "ok\n"},
		{"ready", "GET", "/readyz", nil, 200, "ready\n"},
		{"not ready, and why", "GET", "/readyz", errors.New("reconciling: 3 of 5 nodes answered"), 503, "not ready: reconciling: 3 of 5 nodes answered\n"},
		{"a reason with a name in it that plays with terminals", "GET", "/readyz", errors.New("node \x1b[2Jé\nx"), 503, "not ready: node  [2Jé x\n"},
		{"head", "HEAD", "/readyz", nil, 200, ""},
		{"metrics", "GET", "/metrics", nil, 200, "# HELP "},
		{"profiles", "GET", "/debug/pprof/", nil, 200, "<html>"},
		{"a profile", "GET", "/debug/pprof/goroutine?debug=1", nil, 200, "goroutine profile:"},
		{"nothing is written here", "POST", "/metrics", nil, 405, "Method Not Allowed"},
		{"nothing else", "GET", "/elsewhere", nil, 404, "404 page not found"},
	} {
		notReady = tt.ready
		w := get(h, tt.method, tt.path)
		if w.Code != tt.code || !strings.HasPrefix(w.Body.String(), tt.body) {
			t.Errorf("%s: %s %s answers %d %.60q, want %d %q", tt.claim, tt.method, tt.path, w.Code, w.Body, tt.code, tt.body)
		}
	}
}

func TestReadyWithoutBeingAsked(t *testing.T) {
	if w := get(NewAdmin(AdminOptions{Registry: newTestRegistry(t)}), "GET", "/readyz"); w.Code != 200 {
		t.Errorf("readyz answers %d, want 200: nobody said how to know", w.Code)
	}
}

func TestMetricsInBothFormats(t *testing.T) {
	h := NewAdmin(AdminOptions{Registry: newTestRegistry(t)})
	for _, tt := range []struct{ accept, kind, has, ends string }{
		{"", "text/plain", "# TYPE forewarm_calls_total counter\n", "\n"},
		{"application/openmetrics-text;version=1.0.0", "application/openmetrics-text", "# TYPE forewarm_calls counter\n", "# EOF\n"},
	} {
		w := get(h, "GET", "/metrics", "Accept", tt.accept)
		body := w.Body.String()
		if kind := w.Header().Get("Content-Type"); !strings.HasPrefix(kind, tt.kind) {
			t.Errorf("accepting %q: the answer is %s, want %s", tt.accept, kind, tt.kind)
		}
		for _, has := range []string{tt.has, `forewarm_calls_total{account="alice",function="hello",start="cold"} 10`, "go_goroutines ", "process_cpu_seconds_total "} {
			if !strings.Contains(body, has) {
				t.Errorf("accepting %q: the answer has no %q", tt.accept, has)
			}
		}
		if !strings.HasSuffix(body, tt.ends) {
			t.Errorf("accepting %q: the answer ends with %q, want %q", tt.accept, body[len(body)-20:], tt.ends)
		}
	}
}

// brokenCollector cannot collect.
type brokenCollector struct{}

func (brokenCollector) Describe(chan<- *prometheus.Desc) {}
func (brokenCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "Broken.", nil, nil), errors.New("cannot collect"))
}

func TestOneBrokenCollectorHidesNoOther(t *testing.T) {
	r := newTestRegistry(t)
	r.MustRegister(brokenCollector{})
	var log bytes.Buffer
	w := get(NewAdmin(AdminOptions{Registry: r, Log: slog.New(slog.NewTextHandler(&log, nil))}), "GET", "/metrics")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "forewarm_calls_total{") {
		t.Errorf("the answer is %d with %d bytes, want 200 with what is right", w.Code, w.Body.Len())
	}
	if !strings.Contains(log.String(), "cannot collect") {
		t.Errorf("the log says %q, want the error", log.String())
	}
}

func TestRegistryRefusesTwins(t *testing.T) {
	core, _ := busyDay()
	c := newCollector(t, Options{Core: core, Now: noon})
	if _, err := NewRegistry(c, c); err == nil {
		t.Error("a collector registered twice is taken")
	}
}

// read is the body of an answer.
func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
