package metrics

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// port is an admin port as a scheduler opens it: pages, and gRPC's health service, which also streams.
type port struct {
	addr   string
	health *health.Server
	server *http.Server
}

func openPort(t *testing.T) *port {
	t.Helper()
	h := health.NewServer()
	p := openPortWith(t, func(g *grpc.Server) { grpc_health_v1.RegisterHealthServer(g, h) }, nil)
	p.health = h
	return p
}

// openPortWith opens a port with services of its own, whose calls are counted.
func openPortWith(t *testing.T, register func(*grpc.Server), o *Outside) *port {
	t.Helper()
	g := grpc.NewServer(o.GRPC(AdminPort)...)
	register(g)
	p := &port{}
	p.server = NewServer("127.0.0.1:0", WithGRPC(o.HTTP(NewAdmin(AdminOptions{Registry: newTestRegistry(t)})), g))
	p.server.RegisterOnShutdown(g.Stop)
	l, err := net.Listen("tcp", p.server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	served := make(chan error)
	go func() { served <- p.server.Serve(l) }()
	t.Cleanup(func() {
		_ = p.server.Close() // a second time, where the test did
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving ended with %v", err)
		}
	})
	return p
}

func (p *port) dial(t *testing.T) grpc_health_v1.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_health_v1.NewHealthClient(conn)
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPagesAndCallsOnOnePort(t *testing.T) {
	p := openPort(t)
	client := p.dial(t)
	got, err := client.Check(soon(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || got.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("gRPC check: %v %v, want SERVING", got, err)
	}
	if _, err := client.Check(soon(t), &grpc_health_v1.HealthCheckRequest{Service: "unknown"}); status.Code(err) != codes.NotFound {
		t.Errorf("gRPC check of an unknown service: %v, want code NotFound", err)
	}
	for _, tt := range []struct {
		claim string
		http2 bool
		major int
	}{{"HTTP/1", false, 1}, {"HTTP/2 without TLS", true, 2}} {
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP1(!tt.http2)
		tr.Protocols.SetUnencryptedHTTP2(tt.http2)
		resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get("http://" + p.addr + "/healthz")
		if err != nil {
			t.Errorf("%s: %v", tt.claim, err)
			continue
		}
		if body := read(t, resp); resp.StatusCode != 200 || body != "ok\n" || resp.ProtoMajor != tt.major {
			t.Errorf("%s: %d %q by HTTP/%d, want 200 ok", tt.claim, resp.StatusCode, body, resp.ProtoMajor)
		}
		tr.CloseIdleConnections()
	}
}

// gRPC's content type over HTTP/1 is no call: the pages answer.
func TestCallOverHTTP1IsAPage(t *testing.T) {
	p := openPort(t)
	resp, err := http.Post("http://"+p.addr+"/grpc.health.v1.Health/Check", "application/grpc", nil)
	if err != nil {
		t.Fatal(err)
	}
	if read(t, resp); resp.StatusCode != 404 {
		t.Errorf("the answer is %d, want 404", resp.StatusCode)
	}
}

func TestStreamFollowsAndEndsWithTheServer(t *testing.T) {
	p := openPort(t)
	stream, err := p.dial(t).Watch(soon(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{
		grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING, grpc_health_v1.HealthCheckResponse_SERVING} {
		p.health.SetServingStatus("", want) // the first is so already
		got, err := stream.Recv()
		if err != nil || got.Status != want {
			t.Fatalf("the stream says %v %v, want %v", got, err, want)
		}
	}
	if err := p.server.Shutdown(soon(t)); err != nil {
		t.Errorf("shutdown with an open stream: %v", err)
	}
	if got, err := stream.Recv(); err == nil {
		t.Errorf("the stream says %v after the end", got)
	}
}

// Limits that a stream must not meet, and those that a slow client must.
func TestServerLimits(t *testing.T) {
	s := NewServer("", nil)
	if s.WriteTimeout != 0 || s.ReadTimeout != 0 {
		t.Errorf("a stream is cut after %v or %v", s.WriteTimeout, s.ReadTimeout)
	}
	if s.ReadHeaderTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("headers may take %v and %d bytes, idle connections %v: want limits", s.ReadHeaderTimeout, s.MaxHeaderBytes, s.IdleTimeout)
	}
}
