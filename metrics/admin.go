package metrics

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
)

// AdminOptions tells what the admin port shows. Registry is required.
type AdminOptions struct {
	Registry *prometheus.Registry // that /metrics writes out; see NewRegistry
	Ready    func() error         // why the scheduler cannot take calls yet, nil when it can. Default: it can.
	Log      *slog.Logger         // of what went wrong in a scrape. Default: none.
}

// pageTime bounds how long a reader may take over a page. It is set page by page: a limit of the whole server would
// cut streams and profiles.
const pageTime = 30 * time.Second

// maxScrapes bounds the scrapes under way at once; each holds every series in memory.
const maxScrapes = 4

// NewAdmin makes the handler of the admin port: /metrics, as text or OpenMetrics; /healthz, which answers while the
// process lives; /readyz, which says 503 and why while it cannot take calls; and profiles under /debug/pprof/.
// It has no access control: whoever reaches the port reads everything.
func NewAdmin(o AdminOptions) http.Handler {
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", page(promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{
		Registry:            o.Registry,
		ErrorLog:            slog.NewLogLogger(o.Log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError, // what is right is better than nothing; errors are logged and counted
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	})))
	mux.Handle("GET /healthz", page(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })))
	mux.Handle("GET /readyz", page(readiness(o.Ready)))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return mux
}

func page(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(pageTime)) // a test's recorder has none
		h.ServeHTTP(w, r)
	})
}

func readiness(ready func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			say(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
}

// say writes one line of what can be printed: errors quote names that callers chose.
func say(w http.ResponseWriter, code int, line string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, line)
	_, _ = io.WriteString(w, printable+"\n") // fails when the reader has gone away
}

// WithGRPC sends gRPC calls to g and everything else to h.
//
// gRPC rides on net/http's HTTP/2 here, so g.Serve is not called, and the http.Server ends the calls: its Shutdown
// waits for them, for streams too. Passing g.Stop to RegisterOnShutdown ends those; g.GracefulStop is no gentler.
func WithGRPC(h http.Handler, g *grpc.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			g.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// NewServer makes a server of HTTP/1 and of HTTP/2 without TLS, which gRPC needs. A client has to say quickly what
// it wants, and then may listen as long as it likes: streams are not cut, but a peer that does not answer pings is.
func NewServer(addr string, h http.Handler) *http.Server {
	s := &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		Protocols:         new(http.Protocols),
		HTTP2:             &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}
