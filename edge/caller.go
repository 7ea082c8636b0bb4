package edge

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Identity is who makes a call, as far as the edge could tell.
type Identity struct {
	Token   string // name of the token, "" without one
	Peer    string // address
	Subject string // of the certificate that was verified, "" without one
	Local   bool   // the peer is on this machine
}

// String is for logs and the audit log.
func (i Identity) String() string {
	var parts []string
	if i.Token != "" {
		parts = append(parts, "token "+Escape(i.Token))
	}
	if i.Subject != "" {
		parts = append(parts, "certificate "+Escape(i.Subject))
	}
	if i.Peer != "" {
		parts = append(parts, "from "+Escape(i.Peer))
	}
	if parts == nil {
		return "unknown"
	}
	return strings.Join(parts, ", ")
}

type callerKey struct{}

// Caller is who makes the call of this context: what a Guard noted, or else what gRPC knows of the peer.
func Caller(ctx context.Context) Identity {
	if i, ok := ctx.Value(callerKey{}).(Identity); ok {
		return i
	}
	return ofPeer(ctx)
}

func withCaller(ctx context.Context, i Identity) context.Context {
	return context.WithValue(ctx, callerKey{}, i)
}

func ofPeer(ctx context.Context) (i Identity) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return i
	}
	if p.Addr != nil {
		i.Peer, i.Local = p.Addr.String(), localAddr(p.Addr)
	}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		i.Subject = subject(&info.State)
	}
	return i
}

func ofRequest(r *http.Request) Identity {
	return Identity{Peer: r.RemoteAddr, Local: loopback(r.RemoteAddr), Subject: subject(r.TLS)}
}

// subject names the certificate only of a chain that was verified: what a client merely claims is not repeated.
func subject(s *tls.ConnectionState) string {
	if s == nil || len(s.VerifiedChains) == 0 || len(s.VerifiedChains[0]) == 0 {
		return ""
	}
	leaf := s.VerifiedChains[0][0]
	if name := leaf.Subject.String(); name != "" {
		return name
	}
	if len(leaf.URIs) > 0 { // SPIFFE names are there
		return leaf.URIs[0].String()
	}
	return strings.Join(append(leaf.DNSNames, leaf.EmailAddresses...), " ")
}

func localAddr(a net.Addr) bool {
	switch a.Network() {
	case "unix", "pipe", "bufconn":
		return true
	}
	return loopback(a.String())
}

func loopback(hostPort string) bool {
	a, err := netip.ParseAddrPort(hostPort)
	return err == nil && a.Addr().Unmap().IsLoopback()
}
