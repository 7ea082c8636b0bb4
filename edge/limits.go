package edge

import (
	"bytes"
	"context"
	stdlog "log"
	"log/slog"
	"math"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// What HTTP servers and gRPC servers hold their peers to.
const (
	ReadHeaderTimeout = 5 * time.Second  // from the first byte of a request to the end of its header
	IdleTimeout       = 2 * time.Minute  // of an HTTP connection between requests
	HandshakeTimeout  = 10 * time.Second // of TLS and of gRPC's own hello
	MaxHeaderBytes    = 64 << 10         // header of one request
	MaxReceive        = 1 << 20          // one request of the contract; bodies of calls do not pass through the scheduler
	MaxSend           = 4 << 20          // one reply; what clients take unless they were told otherwise
	MaxStreams        = 1000             // calls under way on one connection

	pingAfter = 30 * time.Second // silence after which a peer is asked whether it lives
	pingWait  = 15 * time.Second // that it gets to answer
	minPing   = 10 * time.Second // of a client; more often is cut off
)

// Limits bound what one peer may use. The zero value is ready to use.
type Limits struct {
	MaxReceive     int           // bytes of one message in. Default MaxReceive
	MaxSend        int           // bytes of one message out. Default MaxSend
	MaxStreams     uint32        // calls under way on one connection; further ones wait at the client. Default MaxStreams
	MaxHeaderBytes uint32        // Default MaxHeaderBytes
	MaxAge         time.Duration // of a connection, which then is ended gently. Default: none, a gateway's lives for weeks
}

// ContractLimits are those of the port on which gateways acquire and return. One gateway has one connection and a call
// that waits in line holds a stream, so that a bound near the length of the lines would keep out the very returns that
// the waiting calls wait for. The lines are what is bounded, by the dispatcher.
func ContractLimits() Limits { return Limits{MaxStreams: math.MaxUint32} }

func (l Limits) filled() Limits {
	if l.MaxReceive == 0 {
		l.MaxReceive = MaxReceive
	}
	if l.MaxSend == 0 {
		l.MaxSend = MaxSend
	}
	if l.MaxStreams == 0 {
		l.MaxStreams = MaxStreams
	}
	if l.MaxHeaderBytes == 0 {
		l.MaxHeaderBytes = MaxHeaderBytes
	}
	return l
}

// ServerOptions are what every gRPC server of ours is made with, for plain ports and for those with TLS. A server
// behind net/http takes the sizes of messages from them; the rest of it is LimitHTTP's.
func ServerOptions(l Limits) []grpc.ServerOption {
	l = l.filled()
	return []grpc.ServerOption{
		grpc.Creds(newPortCredentials()),
		grpc.MaxRecvMsgSize(l.MaxReceive),
		grpc.MaxSendMsgSize(l.MaxSend),
		grpc.MaxConcurrentStreams(l.MaxStreams),
		grpc.MaxHeaderListSize(l.MaxHeaderBytes),
		grpc.ConnectionTimeout(HandshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingWait, MaxConnectionAge: l.MaxAge}),
	}
}

// LimitHTTP sets the bounds of a server before it serves, and has it speak HTTP/2 where a port's TLS agreed on it.
// Bodies and replies have no bound in time: calls and streams last as long as they last. What peers do wrong goes to
// log at Debug, and panics of handlers at Error; without a log, the server's own is left alone.
func LimitHTTP(s *http.Server, l Limits, log *slog.Logger) {
	l = l.filled()
	s.ReadHeaderTimeout, s.IdleTimeout, s.MaxHeaderBytes = ReadHeaderTimeout, IdleTimeout, int(l.MaxHeaderBytes)
	if s.Protocols == nil {
		s.Protocols = new(http.Protocols)
		s.Protocols.SetHTTP1(true)
	}
	s.Protocols.SetHTTP2(true)
	if s.HTTP2 == nil {
		s.HTTP2 = new(http.HTTP2Config)
	}
	s.HTTP2.MaxConcurrentStreams = int(l.MaxStreams)
	s.HTTP2.SendPingTimeout, s.HTTP2.PingTimeout = pingAfter, pingWait
	if log != nil {
		s.ErrorLog = stdlog.New(serverLog{slog.New(NewEscaping(log.Handler()))}, "", 0)
	}
}

// serverLog takes net/http's lines: anybody who reaches the port can cause most of them.
type serverLog struct{ log *slog.Logger }

func (s serverLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("panic serving")) {
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "HTTP server", "error", string(bytes.TrimSpace(line)))
	return len(line), nil
}
