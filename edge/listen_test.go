package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestListenStaysOnLoopbackUnlessItMay(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	secure, err := NewTLS(TLSFiles{Cert: cert, Key: key}, nil)
	must(t, err)
	for _, tt := range []struct {
		name string
		o    Options
		want string // in the error; "" for none
	}{
		{"loopback", Options{Addr: "127.0.0.1:0"}, ""},
		{"another address of loopback", Options{Addr: "127.1.2.3:0"}, ""},
		{"loopback by name", Options{Addr: "localhost:0"}, ""},
		{"no host is loopback", Options{Addr: ":0"}, ""},
		{"all addresses", Options{Addr: "0.0.0.0:0", Name: "admin port"}, "admin port 0.0.0.0:0: it would listen beyond loopback without TLS"},
		{"all addresses of IPv6", Options{Addr: "[::]:0"}, "--allow-plaintext"},
		{"an address of the network", Options{Addr: "192.0.2.1:0"}, "--allow-plaintext"},
		{"all addresses, permitted", Options{Addr: "0.0.0.0:0", AllowPlaintext: true}, ""},
		{"all addresses, with TLS", Options{Addr: "0.0.0.0:0", TLS: secure}, ""},
		{"no port", Options{Addr: "127.0.0.1", Flag: "--admin"}, `"127.0.0.1": want host:port; choose another with --admin`},
		{"no connections", Options{Addr: "127.0.0.1:0", MaxConns: -1}, "-1 connections"},
	} {
		l, err := Listen(tt.o)
		if tt.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
		if err == nil {
			l.Close()
		}
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	l := listen(t, Options{})
	defer l.Close()
	_, err := Listen(Options{Addr: l.Addr().String(), Name: "admin port", Flag: "--admin"})
	if err == nil {
		t.Fatal("a port was taken twice")
	}
	for _, want := range []string{"admin port", l.Addr().String(), "address already in use", "choose another with --admin"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
}

// TestFullPortRefusesHTTP holds both connections, is refused politely with the third, and gets in once one is free.
func TestFullPortRefusesHTTP(t *testing.T) {
	var refused atomic.Int32
	l := listen(t, Options{MaxConns: 2, Refused: func(net.Addr) { refused.Add(1) }})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "in") })}
	LimitHTTP(s, Limits{}, nil)
	go s.Serve(l)
	defer s.Close()
	get := func() (net.Conn, *http.Response) {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		must(t, err)
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
		return c, r
	}
	first, r := get()
	if got := body(t, r); got != "in" {
		t.Fatalf("first: %q", got)
	}
	get()
	if _, r := get(); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || body(t, r) != "too many connections\n" {
		t.Errorf("third of two: %v %v, want 503 with Retry-After", r.Status, r.Header)
	}
	if n := refused.Load(); n != 1 {
		t.Errorf("%d refusals counted, want 1", n)
	}
	first.Close()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, r := get()
		if c.Close(); r.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a closed connection did not free its place")
		}
	}
}

// TestFullPortRefusesGRPC wants a reason in the error, and no storm: a call that waits for the port may try again and
// again, each attempt must take its time.
func TestFullPortRefusesGRPC(t *testing.T) {
	var refused atomic.Int32
	l := listen(t, Options{MaxConns: 1, Refused: func(net.Addr) { refused.Add(1) }})
	addr := serveGRPC(t, l, newWorld().grpc(ServerOptions(Limits{})...))
	in := dial(t, addr)
	must(t, ask(t, in))
	out := dial(t, addr)
	err := ask(t, out)
	wantCode(t, "second of one", err, codes.Unavailable)
	if err == nil || !strings.Contains(err.Error(), "GoAway") {
		t.Errorf("%v: want the GOAWAY", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = healthv1.NewHealthClient(out).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	wantCode(t, "waiting for a place", err, codes.DeadlineExceeded)
	if n := refused.Load(); n < 1 || n > 8 {
		t.Errorf("%d attempts within a second, want a few", n)
	}
	in.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := healthv1.NewHealthClient(out).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("a place is free: %v", err)
	}
}

func TestFullPortRefusesTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	secure, err := NewTLS(TLSFiles{Cert: cert, Key: key}, nil)
	must(t, err)
	l := listen(t, Options{MaxConns: 1, TLS: secure})
	addr := serveGRPC(t, l, newWorld().grpc(ServerOptions(Limits{})...))
	creds, err := ClientTLS(ca.file, "", "", "")
	must(t, err)
	must(t, ask(t, dial(t, addr, grpc.WithTransportCredentials(creds))))
	err = ask(t, dial(t, addr, grpc.WithTransportCredentials(creds)))
	wantCode(t, "second of one", err, codes.Unavailable)
	if err == nil || !strings.Contains(err.Error(), "remote error: tls") {
		t.Errorf("%v: want the alert", err)
	}
}

// TestManyRefusalsDoNotHold floods a full port; further refusals than are said at once are closed without a word, and
// closing the port does not wait for any.
func TestManyRefusalsDoNotHold(t *testing.T) {
	l := listen(t, Options{MaxConns: 1})
	kept := make(chan net.Conn, 1)
	ended := make(chan error, 1)
	go func() {
		c, _ := l.Accept()
		kept <- c
		_, err := l.Accept()
		ended <- err
	}()
	for range 4 * maxRefusals {
		c, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		defer c.Close()
	}
	defer (<-kept).Close()
	began := time.Now()
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if took := time.Since(began); took > 2*refusalTime {
		t.Errorf("Close took %v", took)
	}
}
