package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/dispatcher"
)

var errTest = errors.New("no")

// TestNothingIsSaidAtTheStart: what is linked in must not write into the logs of containers, which are this program
// too.
func TestNothingIsSaidAtTheStart(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), os.Args[0], "-test.list=^$").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("a program with this package in it begins with %q, %v", out, err)
	}
}

// busyOutside has counted something of everything, each to a number of its own as far as that is not tedious.
func busyOutside() *Outside {
	o := NewOutside()
	play(o)
	return o
}

// play calls every method.
func play(o *Outside) {
	for k := range orderKinds {
		for range k + 1 {
			o.Order(dispatcher.OrderKind(k), 30*time.Millisecond, nil)
		}
		for range k + 11 {
			o.Order(dispatcher.OrderKind(k), time.Hour, errTest)
		}
	}
	o.Waited(dispatcher.Warm, time.Hour)
	o.Waited(dispatcher.Waited, 3*time.Millisecond)
	o.Waited(dispatcher.Cold, time.Minute)
	o.Readings(5, 2, 1<<30)
	o.Readings(6, 1, 3<<29)
	o.StateWrite(21, 4*time.Millisecond, nil)
	o.StateWrite(9, time.Hour, errTest)
	o.AdminRefused(codes.Unauthenticated)
	o.AdminRefused(codes.PermissionDenied)
	o.AdminRefused(codes.PermissionDenied)
	o.ConnectionRefused(AdminPort)(nil)
	o.Suppressed(17)
	o.Reload(nil)
	o.Reload(errTest)
	o.GRPC(ContractPort)
	o.HTTP(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

func TestNilOutsideCountsNothing(t *testing.T) {
	play(nil) // and does not panic
}

// TestOutsideIsToldFromTheStart: rate() misses the first event of a series that appears with it.
func TestOutsideIsToldFromTheStart(t *testing.T) {
	families := gather(t, newCollector(t, Options{Core: &fakeCore{}, Now: noon, Outside: NewOutside()}))
	for _, m := range outsideMetrics {
		want := 1
		for range m.Labels {
			want = len(m.Values)
		}
		switch m.Name {
		case orders.Name:
			want *= orderKinds
		case grpcCalls.Name:
			want *= 2
		}
		if got := len(families[m.Name].GetMetric()); got != want {
			t.Errorf("%s has %d series before anything happened, want %d", m.Name, got, want)
		}
	}
}

func TestOutsideIsFolded(t *testing.T) {
	families := gather(t, newCollector(t, Options{Core: &fakeCore{}, Now: noon, Outside: busyOutside()}))
	for _, tt := range []struct {
		metric, labels string
		want           float64
	}{
		{"forewarm_orders_total", "kind=start,result=ok", 1},
		{"forewarm_orders_total", "kind=release,result=ok", 4},
		{"forewarm_orders_total", "kind=reserve,result=failed", 13},
		{"forewarm_order_seconds", "kind=stop", 2}, // failed ones took no time worth knowing
		{"forewarm_edge_wait_seconds", "start=cold", 1},
		{"forewarm_edge_wait_seconds", "start=waited", 1},
		{"forewarm_node_readings_total", "result=ok", 11},
		{"forewarm_node_readings_total", "result=failed", 3},
		{"forewarm_node_memory_used_bytes", "", 3 << 29},
		{"forewarm_state_writes_total", "result=failed", 1},
		{"forewarm_state_write_seconds", "", 1},
		{"forewarm_http_requests_total", "code=4xx", 1},
		{"forewarm_state_changes_total", "", 21},
		{"forewarm_admin_refused_total", "reason=unauthenticated", 1},
		{"forewarm_admin_refused_total", "reason=permission_denied", 2},
		{"forewarm_connections_refused_total", "port=admin", 1},
		{"forewarm_connections_refused_total", "port=contract", 0},
		{"forewarm_log_lines_suppressed_total", "", 17},
		{"forewarm_config_reloads_total", "result=failed", 1},
		{"forewarm_config_last_reload_ok", "", 0},
	} {
		if got := value(t, families, tt.metric, tt.labels); got != tt.want {
			t.Errorf("%s{%s} is %v, want %v", tt.metric, tt.labels, got, tt.want)
		}
	}
	h := families["forewarm_order_seconds"].Metric[0].Histogram
	if n := len(h.Bucket); n != len(waitBounds()) {
		t.Errorf("order times have %d buckets, want those of waits (text adds +Inf)", n)
	}
	if got := h.GetSampleSum(); got < .029 || got > .121 {
		t.Errorf("orders took %v s in all, want what those that went well took", got)
	}
}

func TestReloadIsForgiven(t *testing.T) {
	o := NewOutside()
	for _, tt := range []struct {
		err  error
		want float64
	}{{nil, 1}, {errTest, 0}, {errTest, 0}, {nil, 1}} {
		if o.Reload(tt.err); o.lastReloadOK.Get() != tt.want {
			t.Errorf("after a reload with error %v the last one is told as %v, want %v", tt.err, o.lastReloadOK.Get(), tt.want)
		}
	}
}

// TestOutsideByManyAtOnce is for the race detector; nothing may be lost.
func TestOutsideByManyAtOnce(t *testing.T) {
	o := NewOutside()
	c := newCollector(t, Options{Core: &fakeCore{}, Now: noon, Outside: o})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				o.Order(dispatcher.StartContainer, time.Millisecond, nil)
				o.call(AdminPort, nil)
			}
		})
	}
	gather(t, c)
	wg.Wait()
	families := gather(t, c)
	if got := value(t, families, "forewarm_order_seconds", "kind=start"); got != 800 {
		t.Errorf("%v starts are told, want 800", got)
	}
	if got := value(t, families, "forewarm_grpc_calls_total", "port=admin,code=OK"); got != 800 {
		t.Errorf("%v calls are told, want 800", got)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	o := NewOutside()
	failed := status.Error(codes.NotFound, "no such lease")
	if n := testing.AllocsPerRun(1000, func() {
		o.call(ContractPort, nil)
		o.Waited(dispatcher.Warm, 0)
		o.Waited(dispatcher.Cold, time.Second)
		o.Order(dispatcher.StopContainer, time.Second, nil)
	}); n != 0 {
		t.Errorf("counting a call and an order: %v allocs, want 0", n)
	}
	if n := testing.AllocsPerRun(1000, func() { o.call(ContractPort, failed) }); n != 0 {
		t.Errorf("counting a call that failed: %v allocs, want 0", n)
	}
}

// healthOf answers every check with the error it is made of.
type healthOf struct {
	grpc_health_v1.UnimplementedHealthServer
	err error
}

func (h healthOf) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{}, h.err
}

func TestCallsByCode(t *testing.T) {
	for _, tt := range []struct {
		claim string
		err   error
		code  string
	}{
		{"went well", nil, "OK"},
		{"a status", status.Error(codes.ResourceExhausted, "full"), "ResourceExhausted"},
		{"a wrapped status", fmt.Errorf("x: %w", status.Error(codes.NotFound, "y")), "NotFound"},
		{"an error without a code", errTest, "Unknown"},
		{"the caller has gone", context.Canceled, "Canceled"},
		{"its deadline", context.DeadlineExceeded, "DeadlineExceeded"},
		{"a code that nobody knows", status.Error(codes.Code(99), "x"), "Unknown"},
	} {
		o := NewOutside()
		p := openPortWith(t, func(g *grpc.Server) { grpc_health_v1.RegisterHealthServer(g, healthOf{err: tt.err}) }, o)
		_, err := p.dial(t).Check(soon(t), &grpc_health_v1.HealthCheckRequest{})
		if (err == nil) != (tt.err == nil) {
			t.Fatalf("%s: the call ends with %v", tt.claim, err)
		}
		families := gather(t, newCollector(t, Options{Core: &fakeCore{}, Now: noon, Outside: o}))
		if got := value(t, families, "forewarm_grpc_calls_total", "port=admin,code="+tt.code); got != 1 {
			t.Errorf("%s: %v calls with code %s, want 1", tt.claim, got, tt.code)
		}
	}
}

func TestStreamsAreCountedWhenTheyEnd(t *testing.T) {
	o, h := NewOutside(), health.NewServer()
	p := openPortWith(t, func(g *grpc.Server) { grpc_health_v1.RegisterHealthServer(g, h) }, o)
	stream, err := p.dial(t).Watch(soon(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	counted := func() uint64 { // Watch says Canceled or Unavailable, as the end comes
		return o.grpc[AdminPort][codes.Canceled].Get() + o.grpc[AdminPort][codes.Unavailable].Get()
	}
	if n := counted(); n != 0 {
		t.Errorf("%d streams are counted while one is open", n)
	}
	if err := p.server.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if counted() == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d streams are counted, want 1", counted())
}

func TestPagesByStatus(t *testing.T) {
	o := NewOutside()
	h := o.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			fmt.Fprint(w, "ok")
		case "/bad":
			w.WriteHeader(http.StatusInternalServerError)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/strange":
			w.WriteHeader(700)
		}
	}))
	for _, path := range []string{"/", "/early", "/bad", "/moved", "/strange"} {
		get(h, "GET", path)
	}
	for k, want := range []uint64{2, 1, 0, 2} { // 2xx, 3xx, 4xx, and 5xx, which also takes what is stranger
		if got := o.http[k].Get(); got != want {
			t.Errorf("%d answers are %s, want %d", got, httpRequests.Values[k], want)
		}
	}
}

// TestDeadlinesReachThroughTheCount: pages bound the time of their readers.
func TestDeadlinesReachThroughTheCount(t *testing.T) {
	var err error
	s := httptest.NewServer(NewOutside().HTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		err = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
	})))
	defer s.Close()
	resp, e := http.Get(s.URL)
	if e != nil {
		t.Fatal(e)
	}
	if read(t, resp); err != nil {
		t.Errorf("setting a deadline: %v", err)
	}
}
