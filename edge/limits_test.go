package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

func TestMessagesAndHeadersAreBounded(t *testing.T) {
	w := newWorld()
	for port, addr := range map[string]string{
		"gRPC":  serveGRPC(t, listen(t, Options{}), w.grpc(ServerOptions(Limits{})...)),
		"admin": serveAdmin(t, listen(t, Options{}), w.grpc(ServerOptions(Limits{})...), http.NotFoundHandler()),
	} {
		client := healthv1.NewHealthClient(dial(t, addr))
		// A service that is not known is an answer: the request was read.
		_, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: strings.Repeat("x", MaxReceive-100)})
		wantCode(t, port+": just below 1 MiB", err, codes.NotFound)
		_, err = client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: strings.Repeat("x", MaxReceive+1)})
		wantCode(t, port+": above 1 MiB", err, codes.ResourceExhausted)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 2*MaxHeaderBytes))
		if _, err = client.Check(ctx, &healthv1.HealthCheckRequest{}); err == nil {
			t.Errorf("%s: a header of %d bytes was taken", port, 2*MaxHeaderBytes)
		}
		_, err = client.Check(t.Context(), &healthv1.HealthCheckRequest{})
		wantCode(t, port+": afterwards", err, codes.OK)
	}
}

// TestStreamsAreBounded opens two of two; a third waits at the client until one has ended.
func TestStreamsAreBounded(t *testing.T) {
	w := newWorld()
	l := Limits{MaxStreams: 2}
	addr := serveGRPC(t, listen(t, Options{}), w.grpc(ServerOptions(l)...))
	conn := dial(t, addr)
	must(t, ask(t, conn)) // the bound has arrived at the client
	client := healthv1.NewHealthClient(conn)
	watch := func(timeout time.Duration) (context.CancelFunc, error) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		s, err := client.Watch(ctx, &healthv1.HealthCheckRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		return cancel, err
	}
	end, err := watch(time.Minute)
	must(t, err)
	end2, err := watch(time.Minute)
	must(t, err)
	defer end2()
	end3, err := watch(50 * time.Millisecond)
	defer end3()
	wantCode(t, "third of two", err, codes.DeadlineExceeded)
	end()
	end4, err := watch(5 * time.Second)
	defer end4()
	wantCode(t, "after one ended", err, codes.OK)
}

func TestContractTakesManyStreams(t *testing.T) {
	addr := serveGRPC(t, listen(t, Options{}), newWorld().grpc(ServerOptions(ContractLimits())...))
	conn := dial(t, addr)
	for range MaxStreams + 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		s, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{})
		must(t, err)
		_, err = s.Recv()
		must(t, err)
		defer cancel()
	}
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	l := listen(t, Options{})
	var out bytes.Buffer
	s := &http.Server{Handler: http.NotFoundHandler()}
	LimitHTTP(s, Limits{}, slog.New(slog.NewTextHandler(&out, nil)))
	if s.ReadHeaderTimeout != ReadHeaderTimeout || s.IdleTimeout != IdleTimeout || s.MaxHeaderBytes != MaxHeaderBytes || s.WriteTimeout != 0 || s.ReadTimeout != 0 {
		t.Errorf("bounds of the server: %v %v %d", s.ReadHeaderTimeout, s.IdleTimeout, s.MaxHeaderBytes)
	}
	s.ReadHeaderTimeout = 50 * time.Millisecond // the test does not wait for the true one
	go s.Serve(l)
	defer s.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nX-Slow: ")
	must(t, err)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a header that does not end holds its connection")
	}
	if _, err := s.ErrorLog.Writer().Write([]byte("http: TLS handshake error from x\n")); err != nil || out.Len() > 0 {
		t.Errorf("what peers do wrong is logged above Debug: %q, %v", out.String(), err)
	}
	s.ErrorLog.Print("http: panic serving x: evil\n\x1b[2J")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") {
		t.Errorf("a panic is logged as %q", got)
	}
}

// TestSilentPeersAreCutOff holds a connection that never says hello.
func TestSilentPeersAreCutOff(t *testing.T) {
	opts := append(ServerOptions(Limits{}), grpc.ConnectionTimeout(50*time.Millisecond))
	addr := serveGRPC(t, listen(t, Options{}), newWorld().grpc(opts...))
	c, err := net.Dial("tcp", addr)
	must(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a silent peer holds its connection")
	}
}
