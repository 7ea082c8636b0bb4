package metrics

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// importer takes pushes as VictoriaMetrics does, or refuses them.
type importer struct {
	mu     sync.Mutex
	refuse bool
	bodies []string
	header http.Header // of the last
}

func (i *importer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.refuse {
		http.Error(w, "the disk is full", http.StatusInternalServerError)
		return
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v1/import/prometheus" {
		http.Error(w, "not so", http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(z)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.header = r.Header
	i.bodies = append(i.bodies, string(b))
	w.WriteHeader(http.StatusNoContent)
}

func (i *importer) last(t *testing.T) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.bodies) == 0 {
		t.Fatal("nothing was pushed")
	}
	return i.bodies[len(i.bodies)-1]
}

func (i *importer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.bodies)
}

func (i *importer) setRefuse(refuse bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refuse = refuse
}

// parse reads an exposition, strictly.
func parse(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("what was pushed is no exposition: %v", err)
	}
	return families
}

// eventually waits for what another goroutine will have done soon.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("after 10 s: not %s", what)
}

// TestPushIsTheWholeExposition, functions with awkward names, the core, the Go runtime and all, with the labels that
// tell schedulers apart.
func TestPushIsTheWholeExposition(t *testing.T) {
	i := &importer{}
	s := httptest.NewServer(i)
	defer s.Close()
	o := busyOptions()
	r, err := NewRegistry(newCollector(t, o))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- o.Outside.Push(ctx, PushOptions{URL: s.URL + "/api/v1/import/prometheus", Labels: `job="forewarm",instance="a b"`,
			Header: []string{"Authorization: Bearer abc"}, Write: Text(r, slog.New(slog.DiscardHandler))})
	}()
	eventually(t, "pushed", func() bool { return i.count() > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Push ends with %v, want nil", err)
	}
	families := parse(t, i.last(t))
	for _, g := range List() {
		for _, m := range g.Metrics {
			f := families[m.Name]
			if f == nil {
				t.Errorf("%s is not pushed", m.Name)
				continue
			}
			for _, s := range f.Metric {
				if !matches(s, "job=forewarm,instance=a b") {
					t.Errorf("%s is pushed without the labels: %v", m.Name, s.Label)
				}
			}
		}
	}
	if families["go_goroutines"] == nil || families["process_cpu_seconds_total"] == nil {
		t.Error("the Go runtime and the process are not pushed")
	}
	if got := value(t, families, "forewarm_calls_total", "function=quote\" and \\ and\nline,start=warm"); got != 0 {
		t.Errorf("the function with an awkward name has %v calls, want 0", got)
	}
	if got := i.header.Get("Authorization"); got != "Bearer abc" {
		t.Errorf("the push is authorized by %q", got)
	}
}

// TestPushWhileTheServerIsAway: refused, gone altogether, and back; a line in the log for each change, not for each
// push.
func TestPushWhileTheServerIsAway(t *testing.T) {
	i := &importer{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	s := &http.Server{Handler: i}
	go s.Serve(listener)
	var log syncBuffer
	o := NewOutside()
	r, err := NewRegistry(newCollector(t, Options{Core: &fakeCore{}, Now: noon, Outside: o}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- o.Push(ctx, PushOptions{URL: "http://who:secret@" + addr + "/api/v1/import/prometheus", Every: time.Second,
			Write: Text(r, slog.New(slog.DiscardHandler)), Log: slog.New(slog.NewTextHandler(&log, nil))})
	}()
	eventually(t, "pushed", func() bool { return o.pushes.ok.Get() == 1 })
	i.setRefuse(true)
	eventually(t, "refused", func() bool { return o.pushes.failed.Get() == 1 })
	_ = s.Close()
	eventually(t, "refused again", func() bool { return o.pushes.failed.Get() >= 2 })
	if listener, err = net.Listen("tcp", addr); err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	i.setRefuse(false)
	s = &http.Server{Handler: i}
	go s.Serve(listener)
	defer s.Close()
	eventually(t, "back", func() bool { return o.pushes.ok.Get() >= 3 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Push ends with %v, want nil", err)
	}
	if got := value(t, parse(t, i.last(t)), "forewarm_pushes_total", "result=failed"); got < 2 {
		t.Errorf("what is pushed says that %v pushes failed, want at least 2", got)
	}
	lines := log.String()
	if n := strings.Count(lines, "cannot be pushed"); n != 1 {
		t.Errorf("%d lines say that pushes fail, want 1:\n%s", n, lines)
	}
	if n := strings.Count(lines, "pushed again"); n != 1 {
		t.Errorf("%d lines say that they go well again, want 1:\n%s", n, lines)
	}
	if !strings.Contains(lines, "the disk is full") || strings.Contains(lines, "secret") {
		t.Errorf("the log should have the server's words, and no password:\n%s", lines)
	}
}

// TestPushThatHangsIsGivenUp before the next is due, in virtual time.
func TestPushThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOutside()
		before := http.DefaultTransport
		defer func() { http.DefaultTransport = before }() // the library's client has no transport of its own
		http.DefaultTransport = hanging{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- o.Push(ctx, PushOptions{URL: "http://x/api/v1/import/prometheus", Every: 5 * time.Second, Write: func(io.Writer) {}})
		}()
		time.Sleep(28 * time.Second)
		synctest.Wait()
		if n := o.pushes.failed.Get(); n != 5 {
			t.Errorf("%d pushes were given up in 28 s, want 5", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Push ends with %v, want nil", err)
		}
	})
}

type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestBadPushOptions(t *testing.T) {
	good := PushOptions{URL: "http://v/x", Write: func(io.Writer) {}}
	for _, tt := range []struct {
		claim string
		spoil func(*PushOptions)
		want  string
	}{
		{"no URL", func(p *PushOptions) { p.URL = "" }, `cannot push to ""`},
		{"no host", func(p *PushOptions) { p.URL = "http:///x" }, `cannot push to "http:///x"`},
		{"another scheme", func(p *PushOptions) { p.URL = "ftp://u:secret@v/x" }, `cannot push to "ftp://u:xxxxx@v/x"`},
		{"not a URL", func(p *PushOptions) { p.URL = "http://u:secret%zz@v" }, "cannot be read"},
		{"too often", func(p *PushOptions) { p.Every = time.Millisecond }, "a push every 1ms: want at least 1s"},
		{"nothing to push", func(p *PushOptions) { p.Write = nil }, "nothing to push"},
		{"labels without quotes", func(p *PushOptions) { p.Labels = "job=forewarm" }, `invalid extraLabels="job=forewarm"`},
		{"a header without a name", func(p *PushOptions) { p.Header = []string{"abc"} }, "missing `:`"},
	} {
		p := good
		tt.spoil(&p)
		err := (*Outside)(nil).Push(t.Context(), p)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want one that says %q and no password", tt.claim, err, tt.want)
		}
	}
}

// TestTextIsWhatIsScraped: one exposition, whoever asks.
func TestTextIsWhatIsScraped(t *testing.T) {
	r := newTestRegistry(t)
	var b bytes.Buffer
	Text(r, slog.New(slog.DiscardHandler))(&b)
	pushed, scraped := parse(t, b.String()), parse(t, get(NewAdmin(AdminOptions{Registry: r}), "GET", "/metrics").Body.String())
	for name, f := range scraped {
		if strings.HasPrefix(name, "forewarm_") && f.String() != pushed[name].String() {
			t.Errorf("%s: pushed is %v, scraped %v", name, pushed[name], f)
		}
	}
}

func TestTextLeavesOutWhatIsBroken(t *testing.T) {
	r := newTestRegistry(t)
	r.MustRegister(brokenCollector{})
	var b, log bytes.Buffer
	Text(r, slog.New(slog.NewTextHandler(&log, nil)))(&b)
	if parse(t, b.String())["forewarm_calls_total"] == nil {
		t.Error("what is right is not written")
	}
	if !strings.Contains(log.String(), "cannot collect") {
		t.Errorf("the log says %q, want the error", log.String())
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
