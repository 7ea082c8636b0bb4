package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

func newTLS(t *testing.T, f TLSFiles) *TLS {
	t.Helper()
	s, err := NewTLS(f, nil)
	must(t, err)
	return s
}

func clientTLS(t *testing.T, ca, cert, key, name string) grpc.DialOption {
	t.Helper()
	c, err := ClientTLS(ca, cert, key, name)
	must(t, err)
	return grpc.WithTransportCredentials(c)
}

// TestMutualTLS holds the same table over gRPC's own server and over the admin port's net/http.
func TestMutualTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	cert, key := ours.files("port")
	clientCert, clientKey := ours.files("operator")
	otherCert, otherKey := theirs.files("stranger")
	dir := t.TempDir()
	oldCert, oldKey := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ours.pair(oldCert, oldKey, "was here", time.Now().Add(-time.Minute))

	secure := newTLS(t, TLSFiles{Cert: cert, Key: key, ClientCA: ours.file})
	w := newWorld()
	guard := NewGuard(GuardOptions{})
	opts := append(ServerOptions(Limits{}), guard.ServerOptions()...)
	ports := map[string]string{
		"gRPC":  serveGRPC(t, listen(t, Options{TLS: secure}), w.grpc(opts...)),
		"admin": serveAdmin(t, listen(t, Options{TLS: secure}), w.grpc(opts...), http.NotFoundHandler()),
	}
	for _, tt := range []struct {
		name string
		opts grpc.DialOption
		want codes.Code
	}{
		{"a client of ours", clientTLS(t, ours.file, clientCert, clientKey, ""), codes.OK},
		{"a client of ours that knows the port by name", clientTLS(t, ours.file, clientCert, clientKey, "forewarm.test"), codes.OK},
		{"no certificate", clientTLS(t, ours.file, "", "", ""), codes.Unavailable},
		{"a certificate of somebody else's", clientTLS(t, ours.file, otherCert, otherKey, ""), codes.Unavailable},
		{"an expired certificate", clientTLS(t, ours.file, oldCert, oldKey, ""), codes.Unavailable},
		{"the port is not who it should be", clientTLS(t, theirs.file, clientCert, clientKey, ""), codes.Unavailable},
		{"the port is called otherwise", clientTLS(t, ours.file, clientCert, clientKey, "bank.test"), codes.Unavailable},
		{"plaintext", grpc.EmptyDialOption{}, codes.Unavailable},
	} {
		for port, addr := range ports {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := forewarmv1.NewForewarmClient(dial(t, addr, tt.opts)).Explain(ctx, &forewarmv1.ExplainRequest{})
			cancel()
			wantCode(t, port+": "+tt.name, err, tt.want)
			if err != nil {
				continue
			}
			if c := <-w.callers; c.Subject != "CN=operator" || !c.Local || !strings.Contains(c.String(), "certificate CN=operator, from 127.0.0.1:") {
				t.Errorf("%s: caller %+v, %q", port, c, c)
			}
		}
	}
}

// TestOldTLSIsRefused also sees that the best version is taken, and which protocols the port speaks.
func TestOldTLSIsRefused(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	addr := serveGRPC(t, listen(t, Options{TLS: newTLS(t, TLSFiles{Cert: cert, Key: key})}), newWorld().grpc(ServerOptions(Limits{})...))
	for _, tt := range []struct {
		name  string
		most  uint16
		alpn  []string
		want  uint16 // 0: refused
		agree string
	}{
		{"1.1", tls.VersionTLS11, []string{"h2"}, 0, ""},
		{"1.2", tls.VersionTLS12, []string{"h2"}, tls.VersionTLS12, "h2"},
		{"the best", 0, []string{"h2", "http/1.1"}, tls.VersionTLS13, "h2"},
		{"HTTP/1 only", 0, []string{"http/1.1"}, tls.VersionTLS13, "http/1.1"},
	} {
		c, err := ClientConfig(ca.file, "", "", "")
		must(t, err)
		c.MinVersion, c.MaxVersion, c.NextProtos = tls.VersionTLS10, tt.most, tt.alpn
		conn, err := tls.Dial("tcp", addr, c)
		if (err == nil) != (tt.want != 0) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		if s := conn.ConnectionState(); s.Version != tt.want || s.NegotiatedProtocol != tt.agree {
			t.Errorf("%s: version %x, protocol %q, want %x, %q", tt.name, s.Version, s.NegotiatedProtocol, tt.want, tt.agree)
		}
		if tt.agree != "h2" { // gRPC hangs up
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if n, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: the port of gRPC answers %d bytes", tt.name, n)
			}
		}
		conn.Close()
	}
}

func TestAdminPortSpeaksBothOverTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	addr := serveAdmin(t, listen(t, Options{TLS: newTLS(t, TLSFiles{Cert: cert, Key: key})}), newWorld().grpc(ServerOptions(Limits{})...), pages)
	c, err := ClientConfig(ca.file, "", "", "")
	must(t, err)
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: c.Clone(), ForceAttemptHTTP2: h2}
		r, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("https://" + addr)
		must(t, err)
		if got, want := body(t, r), map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]; got != want {
			t.Errorf("served by %s, want %s", got, want)
		}
		tr.CloseIdleConnections()
	}
	must(t, ask(t, dial(t, addr, clientTLS(t, ca.file, "", "", ""))))
}

// TestReloadKeepsConnections changes pair and authority under an open connection.
func TestReloadKeepsConnections(t *testing.T) {
	old, next := newAuthority(t, "old"), newAuthority(t, "next")
	cert, key := old.files("port")
	clientCA := filepath.Join(t.TempDir(), "clients.pem")
	copyFile(t, old.file, clientCA)
	oldCert, oldKey := old.files("operator")
	nextCert, nextKey := next.files("operator")

	secure := newTLS(t, TLSFiles{Cert: cert, Key: key, ClientCA: clientCA})
	addr := serveGRPC(t, listen(t, Options{TLS: secure}), newWorld().grpc(ServerOptions(Limits{})...))
	open := dial(t, addr, clientTLS(t, old.file, oldCert, oldKey, ""))
	must(t, ask(t, open))

	next.pair(cert, key, "port", time.Now().Add(30*time.Minute))
	copyFile(t, next.file, clientCA)
	must(t, secure.Reload())
	if left := time.Until(secure.Expires()); left > 31*time.Minute {
		t.Errorf("Expires in %v, want that of the new pair", left)
	}
	must(t, ask(t, open))
	must(t, ask(t, dial(t, addr, clientTLS(t, next.file, nextCert, nextKey, ""))))
	wantCode(t, "a new connection that trusts the old pair", ask(t, dial(t, addr, clientTLS(t, old.file, nextCert, nextKey, ""))), codes.Unavailable)
	wantCode(t, "a new connection by a client of old", ask(t, dial(t, addr, clientTLS(t, next.file, oldCert, oldKey, ""))), codes.Unavailable)
}

// TestBadPairKeepsTheOldOne looks as Run does, and wants one line for each change.
func TestBadPairKeepsTheOldOne(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	var out bytes.Buffer
	secure, err := NewTLS(TLSFiles{Cert: cert, Key: key}, slog.New(slog.NewTextHandler(&out, nil)))
	must(t, err)
	addr := serveGRPC(t, listen(t, Options{TLS: secure}), newWorld().grpc(ServerOptions(Limits{})...))
	trust := clientTLS(t, ca.file, "", "", "")
	goodCert, goodKey := ca.files("port")

	for _, tt := range []struct {
		name   string
		change func()
		want   string // in the log
	}{
		{"nothing changes", func() {}, ""},
		{"the certificate comes before its key", func() { copyFile(t, goodCert, cert) }, "private key does not match"},
		{"then the key comes", func() { copyFile(t, goodKey, key) }, "reloaded"},
		{"rubbish", func() { must(t, os.WriteFile(cert, []byte("rubbish"), 0o600)) }, "failed to find any PEM data"},
		{"the certificate is gone", func() { must(t, os.Remove(cert)) }, "no such file"},
		{"an expired pair", func() { ca.pair(cert, key, "port", time.Now().Add(-time.Minute)) }, "not now"},
		{"a good pair", func() { copyFile(t, goodCert, cert); copyFile(t, goodKey, key) }, "reloaded"},
	} {
		out.Reset()
		tt.change()
		for range 3 {
			secure.look()
		}
		log := out.String()
		if n := strings.Count(log, "\n"); n != min(1, len(tt.want)) || !strings.Contains(log, tt.want) {
			t.Errorf("%s: logged %q, want one line with %q", tt.name, log, tt.want)
		}
		if err := ask(t, dial(t, addr, trust)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if strings.Contains(out.String(), "PRIVATE") {
		t.Errorf("the log quotes a key: %s", out.String())
	}
}

func TestRunSeesChanges(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	secure := newTLS(t, TLSFiles{Cert: cert, Key: key})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- secure.Run(ctx) }()
	ca.pair(cert, key, "port", time.Now().Add(30*time.Minute))
	for deadline := time.Now().Add(5 * pollEvery); time.Until(secure.Expires()) > 31*time.Minute; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new pair was not seen")
		}
	}
	cancel()
	must(t, <-ended)
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.files("port")
	otherCert, otherKey := ca.files("other")
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	must(t, os.WriteFile(rubbish, []byte("rubbish"), 0o600))
	for name, f := range map[string]TLSFiles{
		"no key":                      {Cert: cert},
		"no certificate":              {Key: key},
		"a key of another":            {Cert: cert, Key: otherKey},
		"authorities that are none":   {Cert: cert, Key: key, ClientCA: rubbish},
		"authorities that are absent": {Cert: cert, Key: key, ClientCA: rubbish + "2"},
	} {
		if _, err := NewTLS(f, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, f := range map[string][3]string{
		"authorities that are none": {rubbish, "", ""},
		"a certificate alone":       {ca.file, cert, ""},
		"a key of another":          {ca.file, otherCert, key},
	} {
		if _, err := ClientTLS(f[0], f[1], f[2], ""); err == nil {
			t.Errorf("client with %s: taken", name)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}
