package edge

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// calls are one of each kind. Control's other methods are not implemented in the world: their interceptor still runs.
var calls = []struct {
	name string
	need Need
	call func(context.Context, *grpc.ClientConn) error
}{
	{"explain", Read, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := forewarmv1.NewForewarmClient(c).Explain(ctx, &forewarmv1.ExplainRequest{})
		return err
	}},
	{"logs, a stream", Read, func(ctx context.Context, c *grpc.ClientConn) error {
		s, err := forewarmv1.NewLogsClient(c).Tail(ctx, &forewarmv1.TailRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		return err
	}},
	{"health", Read, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := healthv1.NewHealthClient(c).Check(ctx, &healthv1.HealthCheckRequest{})
		return err
	}},
	{"reflection, a stream", Read, func(ctx context.Context, c *grpc.ClientConn) error {
		s, err := reflectionv1.NewServerReflectionClient(c).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		// An error of Send is EOF; Recv has the cause.
		_ = s.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		_, err = s.Recv()
		return err
	}},
	{"the mode is asked for", Read, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := forewarmv1.NewControlClient(c).SetMode(ctx, &forewarmv1.SetModeRequest{})
		return err
	}},
	{"the mode is set", Write, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := forewarmv1.NewControlClient(c).SetMode(ctx, &forewarmv1.SetModeRequest{Mode: "off"})
		return err
	}},
	{"the configuration is read", Read, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := forewarmv1.NewControlClient(c).Config(ctx, &forewarmv1.ConfigRequest{})
		return implemented(err)
	}},
	{"a node is drained", Write, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := forewarmv1.NewControlClient(c).DrainNode(ctx, &forewarmv1.DrainNodeRequest{})
		return implemented(err)
	}},
}

func implemented(err error) error {
	if status.Code(err) == codes.Unimplemented {
		return nil
	}
	return err
}

// holders are what may come in a header, and the right that it gives.
var holders = []struct {
	name    string
	headers []string
	gives   Need
}{
	{"nothing", nil, None},
	{"a wrong token", []string{"Bearer wrong-0123456789abcdef"}, None},
	{"an empty token", []string{"Bearer "}, None},
	{"no scheme", []string{writeSecret}, None},
	{"another scheme", []string{"Basic " + writeSecret}, None},
	{"two headers", []string{"Bearer " + writeSecret, "Bearer " + writeSecret}, None},
	{"the reader", []string{"Bearer " + readSecret}, Read},
	{"the writer", []string{"bearer  " + writeSecret}, Write},
}

func wantOf(need, gives Need) codes.Code {
	switch {
	case gives >= need:
		return codes.OK
	case gives == None:
		return codes.Unauthenticated
	}
	return codes.PermissionDenied
}

// failures counts refusals.
type failures struct {
	mu sync.Mutex
	n  map[codes.Code]int
}

func (f *failures) count(c codes.Code) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n[c]++
}

func TestTokenMatrixOverGRPC(t *testing.T) {
	failed := &failures{n: map[codes.Code]int{}}
	guard := NewGuard(GuardOptions{Tokens: newTokens(t, "grafana:"+readSecret, "ops:"+writeSecret), Failed: failed.count})
	w := newWorld()
	w.callers = make(chan Identity, 1000)
	opts := append(ServerOptions(Limits{}), guard.ServerOptions()...)
	want := map[codes.Code]int{}
	for port, addr := range map[string]string{
		"gRPC":  serveGRPC(t, listen(t, Options{}), w.grpc(opts...)),
		"admin": serveAdmin(t, listen(t, Options{}), w.grpc(opts...), guard.HTTP(http.NotFoundHandler())),
	} {
		conn := dial(t, addr)
		for _, h := range holders {
			for _, c := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				for _, v := range h.headers {
					ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
				}
				err := c.call(ctx, conn)
				cancel()
				code := wantOf(c.need, h.gives)
				wantCode(t, port+": "+c.name+" with "+h.name, err, code)
				if code == codes.OK {
					continue
				}
				want[code]++
				if got := status.Convert(err).Message(); got != wording(code) {
					t.Errorf("%s with %s: %q, want the constant wording", c.name, h.name, got)
				}
			}
		}
	}
	for code, n := range want {
		if failed.n[code] != n {
			t.Errorf("%d refusals counted as %v, want %d", failed.n[code], code, n)
		}
	}
	close(w.callers)
	for c := range w.callers {
		if c.Token != "grafana" && c.Token != "ops" || !strings.Contains(c.String(), "token "+c.Token+", from 127.0.0.1:") {
			t.Errorf("caller %+v", c)
		}
	}
}

func TestTokenMatrixOverHTTP(t *testing.T) {
	var out bytes.Buffer
	guard := NewGuard(GuardOptions{Tokens: newTokens(t, "grafana:"+readSecret, "ops:"+writeSecret), Log: slog.New(slog.NewTextHandler(&out, nil))})
	pages := http.NewServeMux()
	for _, p := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/heap"} {
		pages.HandleFunc("GET "+p, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, Caller(r.Context()).Token) })
	}
	h := guard.HTTP(pages)
	for _, holder := range holders {
		for path, need := range map[string]Need{"/metrics": Read, "/healthz": None, "/readyz": None, "/debug/pprof/heap": Read, "/nothing": Read,
			"/healthz/": Read, "/healthz/../metrics": Read, "//healthz": Read, "/%68ealthz": None, "/HEALTHZ": Read} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header["Authorization"] = holder.headers
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			code := wantOf(need, holder.gives)
			if got := map[int]codes.Code{401: codes.Unauthenticated, 403: codes.PermissionDenied}[w.Code]; got != code {
				t.Errorf("%s with %s: status %d, want that of %v", path, holder.name, w.Code, code)
			}
			if w.Code == 401 && (w.Header().Get("WWW-Authenticate") == "" || w.Body.String() != unauthenticated+"\n") {
				t.Errorf("%s with %s: %v %q", path, holder.name, w.Header(), w.Body)
			}
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines about refusals within a moment, want 1:\n%s", n, out.String())
	}
	for _, secret := range []string{readSecret, writeSecret, "wrong-0123456789abcdef"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("a token was logged: %s", out.String())
		}
	}
}

// TestGuardWithoutTokens wants reading open, and writing for this machine or for who showed a certificate.
func TestGuardWithoutTokens(t *testing.T) {
	g := NewGuard(GuardOptions{})
	for _, tt := range []struct {
		name   string
		caller Identity
		need   Need
		want   codes.Code
	}{
		{"local reads", Identity{Local: true}, Read, codes.OK},
		{"local writes", Identity{Local: true}, Write, codes.OK},
		{"the network reads", Identity{Peer: "192.0.2.1:1"}, Read, codes.OK},
		{"the network writes", Identity{Peer: "192.0.2.1:1"}, Write, codes.PermissionDenied},
		{"the network writes with a certificate", Identity{Peer: "192.0.2.1:1", Subject: "CN=ops"}, Write, codes.OK},
		{"nobody writes", Identity{}, Write, codes.PermissionDenied},
	} {
		if _, got := g.decide(tt.caller, nil, tt.need); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestOnlyReadersKnown has no file of write tokens: then nobody writes, not even from this machine.
func TestOnlyReadersKnown(t *testing.T) {
	tokens, err := NewTokens(TokenFiles{Read: []string{tokenFile(t, readSecret)}}, nil)
	must(t, err)
	g := NewGuard(GuardOptions{Tokens: tokens})
	if _, got := g.decide(Identity{Local: true}, []string{"Bearer " + readSecret}, Write); got != codes.PermissionDenied {
		t.Errorf("a reader writes: %v", got)
	}
	if _, got := g.decide(Identity{Local: true}, nil, Write); got != codes.Unauthenticated {
		t.Errorf("nobody writes: %v", got)
	}
}

func TestMethodNeed(t *testing.T) {
	for method, want := range map[string]Need{
		"/schedulerproto.Scheduler/AcquireContainer":      None,
		"/nodeservoceproto.NodeService/CreateContainer":   None,
		"/forewarm.v1.Forewarm/Explain":                   Read,
		"/forewarm.v1.Logs/Tail":                          Read,
		"/forewarm.v1.Control/Audit":                      Read,
		"/forewarm.v1.Control/Costs":                      Read,
		"/forewarm.v1.Control/Calendar":                   Read,
		"/forewarm.v1.Control/Config":                     Read,
		"/forewarm.v1.Control/SetMode":                    Write,
		"/forewarm.v1.Control/Apply":                      Write,
		"/forewarm.v1.Control/SetFunction":                Write,
		"/forewarm.v1.Control/ConfigAndMore":              Write,
		"/forewarm.v2.Forewarm/Explain":                   Write,
		"/grpc.health.v1.Health/Watch":                    Read,
		"/grpc.reflection.v1alpha.ServerReflection/Other": Read,
		"":                      Write,
		"/forewarm.v1.Forewarm": Read, // no such method: gRPC refuses it
	} {
		if got := MethodNeed(method); got != want {
			t.Errorf("MethodNeed(%q) = %v, want %v", method, got, want)
		}
	}
}

// TestEveryMethodIsClassified fails when Control gets a method that nobody thought about here.
func TestEveryMethodIsClassified(t *testing.T) {
	known := append([]string{"SetMode", "SetFunction", "SetAccount", "DrainNode", "Apply"}, controlReads...)
	for _, m := range forewarmv1.Control_ServiceDesc.Methods {
		if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+m.MethodName+" ") {
			t.Errorf("Control.%s is new: does it read or write?", m.MethodName)
		}
	}
}

func TestBearerGoesOverTLSOnly(t *testing.T) {
	guard := NewGuard(GuardOptions{Tokens: newTokens(t, readSecret, writeSecret)})
	w := newWorld()
	opts := append(ServerOptions(Limits{}), guard.ServerOptions()...)
	plain := serveGRPC(t, listen(t, Options{}), w.grpc(opts...))
	must(t, ask(t, dial(t, plain, grpc.WithPerRPCCredentials(Bearer(readSecret, true)))))
	if _, err := grpc.NewClient(plain, insecureOption(), grpc.WithPerRPCCredentials(Bearer(readSecret, false))); err == nil {
		t.Error("a token would have gone over plaintext")
	}
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	secure := serveGRPC(t, listen(t, Options{TLS: newTLS(t, TLSFiles{Cert: cert, Key: key})}), w.grpc(opts...))
	must(t, ask(t, dial(t, secure, clientTLS(t, ca.file, "", "", ""), grpc.WithPerRPCCredentials(Bearer(readSecret, false)))))
}

func TestCallerWithoutAGuard(t *testing.T) {
	if got := Caller(t.Context()).String(); got != "unknown" {
		t.Errorf("Caller of nothing = %q", got)
	}
	w := newWorld()
	l := bufconn.Listen(1 << 16)
	serveGRPC(t, l, w.grpc(ServerOptions(Limits{})...))
	conn := dial(t, "in memory", grpc.WithContextDialer(dialer(l)))
	_, err := forewarmv1.NewForewarmClient(conn).Explain(t.Context(), &forewarmv1.ExplainRequest{})
	must(t, err)
	if c := <-w.callers; !c.Local || c.Peer != "bufconn" {
		t.Errorf("caller %+v, want a local one", c)
	}
}
