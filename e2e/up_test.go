package e2e

import (
	"bytes"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/forewarm/forewarm/proto/minifaas/apiserverproto"
)

// The whole way of a call, and everything that people look at afterwards.
func TestUp(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state.db")
	u := startPlatform(t, "--state", state)
	callsOverHTTP(u)
	callsOverTheContract(u)
	commandsTell(u)
	adminPortTells(u)
	standardServices(u)
	endsInOrder(u)

	u = u.again()
	says(t, "the log of a second start", u.stderr.String(), "state read", state, "functions=4") // naps was called for two accounts
	u.call("hello", "")
	until(t, "what the first run learnt of hello is known in the second", 5*time.Second, func() bool {
		out, _ := mustRun(t, "forecasts", "--admin", u.admin)
		row := strings.Fields(rowOf(out, "hello"))
		return len(row) > 0 && row[len(row)-1] != "0" // the last column: gaps seen
	})
	endsInOrder(u)
}

func callsOverHTTP(u *platform) {
	u.Helper()
	first, second := u.call("hello", "hi"), u.call("hello", "hi")
	for i, a := range []answer{first, second} {
		start := []string{"cold", "warm"}[i]
		if a.status != http.StatusOK || a.body != "hello from hello\n" || a.header.Get("X-Forewarm-Start") != start {
			u.Errorf("call %d of hello: %d %q %q, want 200, a greeting, %s", i, a.status, a.body, a.header.Get("X-Forewarm-Start"), start)
		}
		for _, h := range []string{"Wait-Ms", "Duration-Ms", "Container", "Node", "Request-Id"} {
			if a.header.Get("X-Forewarm-"+h) == "" {
				u.Errorf("call %d of hello has no header X-Forewarm-%s: %v", i, h, a.header)
			}
		}
	}
	if a, b := first.header.Get("X-Forewarm-Container"), second.header.Get("X-Forewarm-Container"); a != b {
		u.Errorf("containers of two calls in a row: %s and %s, want the same", a, b)
	}
	if a := u.call("echo-command", ""); a.status != http.StatusOK || a.body != "hello from echo-command\n" {
		u.Errorf("a function that is a command: %d %q", a.status, a.body)
	}
	if a := u.call("hallo", ""); a.status != http.StatusNotFound || !strings.Contains(a.body, `did you mean "hello"?`) {
		u.Errorf("a function that is not there: %d %q, want 404 and the nearest name", a.status, a.body)
	}
	if a := fetch(u, http.MethodGet, "http://"+u.http+"/functions", ""); a.status != http.StatusOK || strings.Contains(a.body, u.mark) {
		u.Errorf("GET /functions: %d %q, want 200 and no environment", a.status, a.body)
	}
}

func callsOverTheContract(u *platform) {
	u.Helper()
	api := apiserverproto.NewAPIServerClient(dial(u, u.gateway))
	list, err := api.ListFunctions(u.Context(), &apiserverproto.ListFunctionsRequest{})
	if err != nil || len(list.GetFunctions()) != 3 || list.GetFunctions()[1].GetMemoryInBytes() != 64<<20 || list.GetFunctions()[1].GetTimeoutInMs() != 10_000 {
		u.Errorf("ListFunctions = %v, %v, want three, the second with 64 MiB and 10 s", list, err)
	}
	reply, err := api.InvokeFunction(u.Context(), &apiserverproto.InvokeFunctionRequest{AccountId: "an-account", FunctionName: "naps", Event: []byte(`{"ms": 50}`)})
	if err != nil || string(reply.GetBody()) != "slept 50 ms\n" || reply.GetServerSideLatencyInMs() < 50 || reply.GetRequestId() == "" {
		u.Errorf("InvokeFunction(naps, 50 ms) = %v, %v", reply, err)
	}
}

func commandsTell(u *platform) {
	u.Helper()
	out, _ := mustRun(u, "explain", "--admin", u.admin)
	says(u, "explain", out, "hello: 2 calls, 1 warm, 0 waited, 1 cold", "echo-command: 1 calls", "naps: 1 calls", "Last decisions", "reserve a node", "start a container of naps")
	out, _ = mustRun(u, "explain", "hello", "--admin", u.admin)
	says(u, "explain hello", out, "start a container of hello", "1 call waits")
	if strings.Contains(out, "naps") {
		u.Errorf("explain hello tells of others, too: %q", out)
	}
	out, _ = mustRun(u, "decisions", "hello", "--admin", u.admin)
	says(u, "decisions hello", out, "start a container of hello")
	out, _ = mustRun(u, "logs", "hello", "--admin", u.admin)
	says(u, "logs hello", out, "hello: ready after", `called with 2 bytes: "hi"`)
	out, stderr := mustRun(u, "invoke", "hello", "--gateway", u.http, "-d", "hi")
	says(u, "invoke hello", out, "hello from hello")
	says(u, "invoke hello", stderr, "200 OK, warm: waited 0 ms, ran ", "container ", " on node-")
	until(u, "forecasts tells of all functions", 3*time.Second, func() bool {
		out, _ = mustRun(u, "forecasts", "--admin", u.admin)
		return rowOf(out, "hello") != "" && rowOf(out, "naps") != "" && rowOf(out, "echo-command") != ""
	})
	says(u, "forecasts", out, "FUNCTION", "MODEL", "CALLS/S", "gap", "Nodes: ")
	followers(u)
	for _, args := range [][]string{{"explain", "hallo"}, {"forecasts", "hallo"}} {
		_, stderr, code := run(u, nil, append(args, "--admin", u.admin)...)
		if code != 1 {
			u.Errorf("%q of a function that was never called: exit code %d, want 1", args, code)
		}
		says(u, "the error", stderr, `"hallo"`, "hello")
	}
}

// followers reads what comes, until they are ended.
func followers(u *platform) {
	u.Helper()
	logs := start(u, nil, forewarm, "logs", "hello", "-f", "-n", "0", "--admin", u.admin)
	decisions := start(u, nil, forewarm, "decisions", "-f", "--backlog", "0", "--admin", u.admin)
	i := 0
	until(u, "logs -f shows a call that comes later", 10*time.Second, func() bool {
		i++
		u.call("hello", strings.Repeat("x", i))
		return strings.Contains(logs.stdout.String(), "called with")
	})
	for _, p := range []*process{logs, decisions} {
		p.stop(5 * time.Second)
	}
}

// rowOf is the line of a table that begins with a word.
func rowOf(table, word string) string {
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, word+" ") {
			return line
		}
	}
	return ""
}

func adminPortTells(u *platform) {
	u.Helper()
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if a := fetch(u, http.MethodGet, "http://"+u.admin+path, ""); a.status != http.StatusOK || a.body != want {
			u.Errorf("%s = %d %q, want 200 %q", path, a.status, a.body, want)
		}
	}
	a := fetch(u, http.MethodGet, "http://"+u.admin+"/metrics", "")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewBufferString(a.body))
	if err != nil || a.status != http.StatusOK {
		u.Fatalf("/metrics: status %d, it does not parse: %v", a.status, err)
	}
	for _, start := range []string{"warm", "waited", "cold"} {
		if _, ok := value(families["forewarm_calls_total"], "hello", start); !ok {
			u.Errorf("/metrics has no forewarm_calls_total of hello that were %s", start)
		}
	}
	if n, _ := value(families["forewarm_calls_total"], "hello", "cold"); n != 1 {
		u.Errorf("cold calls of hello in /metrics: %v, want 1", n)
	}
	if families["forewarm_call_wait_seconds"].GetType() != dto.MetricType_HISTOGRAM {
		u.Errorf("forewarm_call_wait_seconds is %v, want a histogram", families["forewarm_call_wait_seconds"].GetType())
	}
}

// value finds a function's counter by the value of any of its labels.
func value(f *dto.MetricFamily, function, label string) (float64, bool) {
	for _, m := range f.GetMetric() {
		has := func(v string) bool {
			return slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == v })
		}
		if has(function) && has(label) {
			return m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

// Every role answers the two services that tools look for.
func standardServices(u *platform) {
	u.Helper()
	for addr, service := range map[string]string{
		u.scheduler: "schedulerproto.Scheduler",
		u.gateway:   "apiserverproto.APIServer",
		u.manager:   "resourcemanagerproto.ResourceManager",
		u.admin:     "forewarm.v1.Forewarm",
	} {
		conn := dial(u, addr)
		h, err := healthv1.NewHealthClient(conn).Check(u.Context(), &healthv1.HealthCheckRequest{})
		if err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			u.Errorf("health of %s at %s = %v, %v, want serving", service, addr, h, err)
		}
		stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(u.Context())
		if err != nil {
			u.Fatalf("reflection at %s: %v", addr, err)
		}
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
			u.Fatalf("reflection at %s: %v", addr, err)
		}
		reply, err := stream.Recv()
		if err != nil || !slices.ContainsFunc(reply.GetListServicesResponse().GetService(), func(s *reflectionv1.ServiceResponse) bool { return s.GetName() == service }) {
			u.Errorf("services at %s: %v, %v, want %s among them", addr, reply, err, service)
		}
		_ = stream.CloseSend() // the reply was had
	}
}

// endsInOrder ends a platform while a call runs and a client watches its health. The call is answered, and nothing
// is left.
func endsInOrder(u *platform) {
	u.Helper()
	for _, addr := range []string{u.scheduler, u.gateway} {
		watch, err := healthv1.NewHealthClient(dial(u, addr)).Watch(u.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			u.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			u.Fatalf("watch the health at %s: %v", addr, err)
		}
	}
	u.call("naps", `{"ms": 1}`) // so that the next one is warm, and surely runs when the signal comes
	done := make(chan answer, 1)
	go func() { done <- u.call("naps", `{"ms": 600}`) }()
	time.Sleep(200 * time.Millisecond)
	u.signal(syscall.SIGTERM)
	if a := <-done; a.status != http.StatusOK {
		u.Errorf("a call that ran when the platform was ended: %d %q, want its answer", a.status, a.body)
	}
	if code := u.wait(15 * time.Second); code != 0 {
		u.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	u.gone(0)
}

// Whatever is killed with -9, soon nothing is left.
func TestNothingOutlivesAKill(t *testing.T) {
	for _, tt := range []struct {
		claim string
		kill  func(*platform) int // process id
	}{
		{"forewarm up itself", func(u *platform) int { return u.cmd.Process.Pid }},
		{"its manager", func(u *platform) int { return u.one("manager").pid }},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			t.Parallel()
			u := startPlatform(t)
			u.call("hello", "")
			u.call("echo-command", "")
			go http.Post("http://"+u.http+"/function/naps", "", strings.NewReader(`{"ms": 8000}`)) // runs on, and breaks off
			until(t, "a long call runs", 5*time.Second, func() bool {
				out, _, _ := run(t, nil, "explain", "naps", "--admin", u.admin) // it fails until the call has come
				return strings.Contains(out, "1 cold")
			})
			if n := len(u.all()); n < 8 { // up, three roles, watchdog, node, two containers
				t.Fatalf("%d processes carry the mark, want 8 or more: %v", n, u.all())
			}
			if err := syscall.Kill(tt.kill(u), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			u.gone(2 * time.Second)
		})
	}
}
