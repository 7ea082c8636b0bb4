package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster/minifaas/peers"
	"github.com/forewarm/forewarm/proto/minifaas/apiserverproto"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// call makes an HTTP call to the gateway and reads all of the answer.
func call(t *testing.T, w *world, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	web := httptest.NewServer(w.s.HTTP())
	t.Cleanup(web.Close)
	req, err := http.NewRequestWithContext(t.Context(), method, web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(all)
}

func TestHTTPCall(t *testing.T) {
	for _, path := range []string{"/function/fn", "/function/fn/", "/function/fn/some//path?q=1"} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			w := newWorld(t, nil)
			w.node.invoke = func(r *invokeRequest, s invokeStream) error {
				h := header("201")
				for name, value := range map[string]string{
					"connection": "close", "Content-Length": "999", "transfer-encoding": "chunked", // not for it to say
					"x-forewarm-start": "warm", "X-Forewarm-Made-Up": "1", // ours
				} {
					h.Header.Headers[name] = &nodeservoceproto.InvokeFunctionReply_Header_Value{Items: []string{value}}
				}
				return pieces(h, body(string(r.GetEvent())), footer(1500*time.Microsecond))(r, s)
			}
			res, got := call(t, w, method, path, "event", AccountHeader, "acc")
			if res.StatusCode != 201 || got != "event" {
				t.Fatalf("%s %s: %d %q", method, path, res.StatusCode, got)
			}
			for name, want := range map[string][]string{
				"Content-Type":            {"text/x-test"},
				"X-Two":                   {"a", "b"},
				"Content-Length":          {"5"},
				"Connection":              nil,
				"X-Forewarm-Made-Up":      nil,
				"X-Forewarm-Start":        {"cold"},
				"X-Forewarm-Wait-Ms":      {"1.5"},
				"X-Forewarm-Container":    {"c1"},
				"X-Forewarm-Node":         {"n1"},
				"X-Forewarm-Request-Id":   {w.scheduler.acquired[0].GetRequestId()},
				"X-Forewarm-Duration-Ms":  {"1.5"},
				"X-Forewarm-Nothing-Else": nil,
			} {
				if got := res.Header.Values(name); !reflect.DeepEqual(got, want) {
					t.Errorf("%s %s: header %s is %q, want %q", method, path, name, got, want)
				}
			}
			if a := w.scheduler.acquired[0].GetAccountId(); a != "acc" {
				t.Errorf("called on behalf of %q", a)
			}
			w.scheduler.settled(t, 1)
		}
	}
}

func TestHTTPWithoutStart(t *testing.T) {
	w := newWorld(t, nil)
	w.scheduler.metadata = nil
	res, _ := call(t, w, http.MethodPost, "/function/fn", "")
	if res.StatusCode != 200 || res.Header.Values("X-Forewarm-Start") != nil || res.Header.Values("X-Forewarm-Wait-Ms") != nil {
		t.Errorf("a foreign scheduler's call: %d, %v", res.StatusCode, res.Header)
	}
}

func TestHTTPFailures(t *testing.T) {
	refuse := func(c codes.Code) func(*world) {
		return func(w *world) {
			w.scheduler.onGet = func(context.Context, int64) error { return status.Error(c, "said so") }
		}
	}
	for _, tt := range []struct {
		claim        string
		arrange      func(*world)
		method, path string
		body         string
		headers      []string
		status       int
		says         string
		retry        bool
		container    string // X-Forewarm-Container
	}{
		{claim: "unknown function", path: "/function/breif", status: 404, says: `unknown function "breif": did you mean "brief"? known: fn, brief`},
		{claim: "no function", path: "/function/", status: 404, says: "known: fn, brief"},
		{claim: "another path", path: "/", status: 404, says: "call a function with POST /function/NAME, list them with GET /functions"},
		{claim: "another method", method: http.MethodDelete, path: "/function/fn", status: 405, says: "use POST or GET"},
		{claim: "posting to the list", path: "/functions", status: 405, says: "use GET or HEAD"},
		{claim: "bad account", path: "/function/fn", headers: []string{AccountHeader, "a b"}, status: 400, says: "an account is 1 to 128 printable"},
		{claim: "body too large, said at once", path: "/function/fn", body: strings.Repeat("x", 1<<20+1), status: 413, says: "body too large: send at most 1048576 bytes"},
		{claim: "no capacity", arrange: refuse(codes.ResourceExhausted), path: "/function/fn", status: 503, says: "said so", retry: true},
		{claim: "scheduler away", arrange: func(w *world) { w.schedulerServer.Stop() }, path: "/function/fn", status: 503, says: "connection refused", retry: true},
		{claim: "no container in time", arrange: refuse(codes.DeadlineExceeded), path: "/function/fn", status: 504, says: "no container came"},
		{claim: "function out of time", arrange: func(w *world) {
			w.node.invoke = func(_ *invokeRequest, s invokeStream) error { <-s.Context().Done(); return s.Context().Err() }
		}, path: "/function/brief", status: 504, says: "did not end within 50ms", container: "c1"},
		{claim: "function out of memory", arrange: func(w *world) {
			w.node.invoke = func(*invokeRequest, invokeStream) error { return status.Error(codes.ResourceExhausted, "killed") }
		}, path: "/function/fn", status: 502, says: "out of memory", container: "c1"},
		{claim: "nodes lost twice", arrange: func(w *world) { w.nodeServer.Stop() }, path: "/function/fn", status: 503, says: "connection refused", retry: true, container: "c2"},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			w := newWorld(t, nil)
			if tt.arrange != nil {
				tt.arrange(w)
			}
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			res, got := call(t, w, tt.method, tt.path, tt.body, tt.headers...)
			if res.StatusCode != tt.status || !strings.Contains(got, tt.says) || (res.Header.Get("Retry-After") == "1") != tt.retry {
				t.Errorf("%s %s: %d (Retry-After %q) %q, want %d %q", tt.method, tt.path, res.StatusCode, res.Header.Get("Retry-After"), got, tt.status, tt.says)
			}
			if c := res.Header.Get("X-Forewarm-Container"); c != tt.container {
				t.Errorf("container header %q, want %q", c, tt.container)
			}
		})
	}
}

// A body without a length is stopped where the limit is.
func TestHTTPBodyOfUnknownLength(t *testing.T) {
	w := newWorld(t, nil)
	for size, want := range map[int]int{1 << 20: 200, 1<<20 + 1: 413} {
		r := httptest.NewRequest(http.MethodPost, "/function/fn", io.MultiReader(bytes.NewReader(make([]byte, size))))
		r.ContentLength = -1
		rec := httptest.NewRecorder()
		w.s.HTTP().ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("a body of %d bytes: %d, want %d", size, rec.Code, want)
		}
	}
	w.scheduler.settled(t, 1)
}

func TestHTTPList(t *testing.T) {
	w := newWorld(t, nil)
	res, got := call(t, w, http.MethodGet, "/functions", "")
	var list struct{ Functions []listed }
	if err := json.Unmarshal([]byte(got), &list); err != nil || res.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v, %s: %s", err, res.Header.Get("Content-Type"), got)
	}
	want := []listed{{"fn", 128 << 20, 10000, 1, "h"}, {"brief", 64 << 20, 50, 0, ""}}
	if !reflect.DeepEqual(list.Functions, want) {
		t.Errorf("listed %+v, want %+v", list.Functions, want)
	}
}

func TestHTTPCallerHangsUp(t *testing.T) {
	w := newWorld(t, nil)
	running, finish := make(chan struct{}), make(chan struct{})
	w.node.invoke = func(r *invokeRequest, s invokeStream) error { close(running); <-finish; return echo(r, s) }
	web := httptest.NewServer(w.s.HTTP())
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, web.URL+"/function/fn", nil)
	go func() { <-running; cancel() }()
	if res, err := web.Client().Do(req); err == nil {
		res.Body.Close()
		t.Error("the call was answered")
	}
	close(finish)
	if back := w.scheduler.settled(t, 1)[0]; back.GetErrorMessage() != "" {
		t.Errorf("returned %v, want a good container", back)
	}
}

// apiClient calls the contract's side of the gateway.
func apiClient(t *testing.T, w *world) apiserverproto.APIServerClient {
	_, addr := serve(t, "", func(g *grpc.Server) { w.s.Register(g) }, w.s.ServerOptions()...)
	cc, err := peers.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return apiserverproto.NewAPIServerClient(cc)
}

func TestContractCall(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxBody = 6 << 20 })
	w.node.invoke = func(r *invokeRequest, s invokeStream) error {
		time.Sleep(20 * time.Millisecond)
		return pieces(header("500"), body("answer"))(r, s) // the function's own trouble, but an answer
	}
	event := bytes.Repeat([]byte("x"), 5<<20) // more than gRPC's own limit
	r, err := apiClient(t, w).InvokeFunction(t.Context(), &apiserverproto.InvokeFunctionRequest{AccountId: "acc", FunctionName: "fn", Event: event})
	if err != nil {
		t.Fatal(err)
	}
	if string(r.GetBody()) != "answer" || r.GetRequestId() != w.scheduler.acquired[0].GetRequestId() || r.GetServerSideLatencyInMs() < 20 {
		t.Errorf("reply %v", r)
	}
	if a := w.scheduler.acquired[0].GetAccountId(); a != "acc" {
		t.Errorf("called on behalf of %q", a)
	}
}

func TestContractList(t *testing.T) {
	w := newWorld(t, nil)
	r, err := apiClient(t, w).ListFunctions(t.Context(), &apiserverproto.ListFunctionsRequest{})
	if err != nil || r.GetRequestId() == "" || len(r.GetFunctions()) != 2 {
		t.Fatalf("ListFunctions = %v, %v", r, err)
	}
	if f := r.GetFunctions()[0]; f.GetFunctionName() != "fn" || f.GetTimeoutInMs() != 10000 || f.GetMemoryInBytes() != 128<<20 || f.GetHandler() != "h" {
		t.Errorf("listed %v", f)
	}
}

func TestContractFailures(t *testing.T) {
	for _, tt := range []struct {
		claim    string
		refuse   codes.Code
		function string
		event    []byte
		want     codes.Code
	}{
		{"unknown function", codes.OK, "none", nil, codes.NotFound},
		{"event too large", codes.OK, "fn", make([]byte, 1<<20+1), codes.InvalidArgument},
		{"no capacity", codes.ResourceExhausted, "fn", nil, codes.Unavailable},
		{"no container in time", codes.DeadlineExceeded, "fn", nil, codes.DeadlineExceeded},
		{"refused", codes.InvalidArgument, "fn", nil, codes.InvalidArgument},
		{"broken scheduler", codes.Internal, "fn", nil, codes.Internal},
	} {
		w := newWorld(t, nil)
		if tt.refuse != codes.OK {
			w.scheduler.onGet = func(context.Context, int64) error { return status.Error(tt.refuse, "said so") }
		}
		_, err := apiClient(t, w).InvokeFunction(t.Context(), &apiserverproto.InvokeFunctionRequest{FunctionName: tt.function, Event: tt.event})
		if status.Code(err) != tt.want {
			t.Errorf("%s: %v, want code %v", tt.claim, err, tt.want)
		}
	}
}

func TestContractCallerHangsUp(t *testing.T) {
	w := newWorld(t, nil)
	w.scheduler.onGet = func(ctx context.Context, _ int64) error { <-ctx.Done(); return ctx.Err() }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := apiClient(t, w).InvokeFunction(ctx, &apiserverproto.InvokeFunctionRequest{FunctionName: "fn"})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("error %v, want code %v", err, codes.DeadlineExceeded)
	}
}
