package edge

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// world serves what the admin port does, and notes who called.
type world struct {
	forewarmv1.UnimplementedForewarmServer
	forewarmv1.UnimplementedControlServer
	forewarmv1.UnimplementedLogsServer
	callers chan Identity
}

func (w *world) Explain(ctx context.Context, _ *forewarmv1.ExplainRequest) (*forewarmv1.ExplainReply, error) {
	w.callers <- Caller(ctx)
	return &forewarmv1.ExplainReply{}, nil
}

func (w *world) SetMode(context.Context, *forewarmv1.SetModeRequest) (*forewarmv1.SetModeReply, error) {
	return &forewarmv1.SetModeReply{}, nil
}

func (w *world) Tail(_ *forewarmv1.TailRequest, s forewarmv1.Logs_TailServer) error {
	w.callers <- Caller(s.Context())
	return s.Send(&forewarmv1.LogLine{Text: "a line"})
}

func (w *world) grpc(opts ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(opts...)
	forewarmv1.RegisterForewarmServer(g, w)
	forewarmv1.RegisterControlServer(g, w)
	forewarmv1.RegisterLogsServer(g, w)
	healthv1.RegisterHealthServer(g, health.NewServer())
	reflection.Register(g)
	return g
}

func newWorld() *world { return &world{callers: make(chan Identity, 100)} }

// serveGRPC serves on a port of its own until the test ends.
func serveGRPC(t *testing.T, l net.Listener, g *grpc.Server) string {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		<-ended
	})
	return l.Addr().String()
}

// serveAdmin serves gRPC and pages on one port, as the scheduler does.
func serveAdmin(t *testing.T, l net.Listener, g *grpc.Server, pages http.Handler) string {
	t.Helper()
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			g.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	LimitHTTP(s, Limits{}, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		g.Stop()
		<-ended
	})
	return l.Addr().String()
}

func listen(t *testing.T, o Options) net.Listener {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	l, err := Listen(o)
	must(t, err)
	return l
}

func dial(t *testing.T, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy()}, opts...)...)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask makes the cheapest call.
func ask(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: %v (%v), want %v", what, got, err, want)
	}
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return string(b)
}

func insecureOption() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

func dialer(l *bufconn.Listener) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }
}
