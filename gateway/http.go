package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Headers of an answer that say how it came about.
const (
	headerPrefix  = "X-Forewarm-"
	startHeader   = headerPrefix + "Start"   // warm, waited or cold
	waitHeader    = headerPrefix + "Wait-Ms" // for the container
	contHeader    = headerPrefix + "Container"
	nodeHeader    = headerPrefix + "Node"
	requestHeader = headerPrefix + "Request-Id"
	timeHeader    = headerPrefix + "Duration-Ms" // of the function
)

// AccountHeader names the account of a call.
const AccountHeader = "X-Account-Id"

// HTTP serves POST and GET /function/NAME, the body being the event, and GET /functions.
func (s *Server) HTTP() http.Handler {
	// Not a ServeMux: it redirects paths that it finds unclean, and a redirected POST loses its body.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isCall := strings.CutPrefix(r.URL.Path, "/function/")
		switch {
		case isCall:
			name, _, _ = strings.Cut(name, "/")
			s.serveCall(w, r, name)
		case r.URL.Path == "/functions":
			s.serveList(w, r)
		default:
			writeError(w, http.StatusNotFound, "nothing here: call a function with POST /function/NAME, list them with GET /functions")
		}
	})
}

// allow refuses other methods than those named.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	writeError(w, http.StatusMethodNotAllowed, "use "+strings.Join(methods, " or "))
	return false
}

func (s *Server) serveCall(w http.ResponseWriter, r *http.Request, name string) {
	if !allow(w, r, http.MethodPost, http.MethodGet) {
		return
	}
	account := r.Header.Get(AccountHeader)
	if _, _, err := s.check(account, name, nil); err != nil { // before a body is read for nothing
		writeFailure(w, nil, err)
		return
	}
	event, err := s.readBody(w, r)
	if err != nil {
		writeFailure(w, nil, err)
		return
	}
	reply, err := s.Invoke(r.Context(), account, name, event)
	if err != nil {
		writeFailure(w, reply, err)
		return
	}
	writeReply(w, reply)
}

// readBody reads the event.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > s.opts.MaxBody {
		return nil, s.tooLarge()
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead) // ReadFrom wants that much room at the end
	}
	_, err := io.Copy(&b, http.MaxBytesReader(w, r.Body, s.opts.MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, s.tooLarge()
	}
	if err != nil {
		return nil, errors.Join(ErrInvalid, err) // the caller broke off
	}
	return b.Bytes(), nil
}

// writeReply passes on what the function answered.
func writeReply(w http.ResponseWriter, r *Reply) {
	h := w.Header()
	for name, values := range r.Headers {
		if name = textproto.CanonicalMIMEHeaderKey(name); !passedOn(name) {
			continue
		}
		for _, v := range values {
			h.Add(name, v)
		}
	}
	describe(h, r)
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body) // who hung up will not hear of it either
}

// passedOn holds back headers that are about the connection (RFC 9110, section 7.6.1), the length, which is counted
// anew, and ours.
func passedOn(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Content-Length":
		return false
	}
	return !strings.HasPrefix(name, headerPrefix)
}

// describe sets our headers, as far as there is something to say.
func describe(h http.Header, r *Reply) {
	if r == nil {
		return
	}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	set(requestHeader, r.RequestID)
	set(contHeader, r.Container)
	set(nodeHeader, r.Node)
	if r.Start != "" {
		h.Set(startHeader, r.Start)
		h.Set(waitHeader, milliseconds(r.Wait))
	}
	if r.Duration > 0 {
		h.Set(timeHeader, milliseconds(r.Duration))
	}
}

// milliseconds writes a duration to the microsecond.
func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64)
}

// writeFailure answers a call that the function did not.
func writeFailure(w http.ResponseWriter, r *Reply, err error) {
	describe(w.Header(), r)
	code := statusOf(err)
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1") // seconds; there is none smaller
	}
	writeError(w, code, err.Error())
}

func writeError(w http.ResponseWriter, code int, msg string) {
	http.Error(w, msg, code)
}

// statusClientGone is what nginx logs for a caller that hung up; nobody receives it.
const statusClientGone = 499

// statusOf is the HTTP status of an error of Invoke.
func statusOf(err error) int {
	for _, c := range []struct {
		err  error
		code int
	}{
		{ErrUnknownFunction, http.StatusNotFound},
		{ErrInvalid, http.StatusBadRequest},
		{ErrTooLarge, http.StatusRequestEntityTooLarge},
		{ErrUnavailable, http.StatusServiceUnavailable},
		{ErrDeadline, http.StatusGatewayTimeout},
		{context.Canceled, statusClientGone},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return http.StatusBadGateway
}

// listed is a function as GET /functions shows it. Commands and environments are not shown: they may hold secrets.
type listed struct {
	Name        string `json:"name"`
	Memory      int64  `json:"memory_bytes"`
	Timeout     int64  `json:"timeout_ms"`
	Concurrency int    `json:"concurrency"` // 0: auto
	Handler     string `json:"handler,omitempty"`
}

func (s *Server) serveList(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	list := struct {
		Functions []listed `json:"functions"`
	}{}
	for _, f := range s.book.Load().catalog.Functions {
		list.Functions = append(list.Functions, listed{f.Name, f.Memory, f.Timeout.Milliseconds(), f.Concurrency, f.Handler})
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(list)
}
