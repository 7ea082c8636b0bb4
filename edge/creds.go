package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// portCredentials tell a gRPC server what the listener already speaks: they finish its handshake and read off who the
// peer is, or note that there is no TLS. The deadline is grpc.ConnectionTimeout, set on the connection by the server.
type portCredentials struct {
	plain credentials.TransportCredentials
}

func newPortCredentials() credentials.TransportCredentials {
	return &portCredentials{plain: insecure.NewCredentials()}
}

func (p *portCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, ok := raw.(*tls.Conn)
	if !ok {
		return p.plain.ServerHandshake(raw)
	}
	if err := conn.Handshake(); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("edge: TLS: %w", err)
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		conn.Close()
		return nil, nil, fmt.Errorf("edge: TLS: the client did not ask for h2 (ALPN), which gRPC needs, but for %q", state.NegotiatedProtocol)
	}
	return conn, credentials.TLSInfo{State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (p *portCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("edge: these credentials are a server's; clients use ClientTLS")
}

func (p *portCredentials) Info() credentials.ProtocolInfo { return p.plain.Info() }

func (p *portCredentials) Clone() credentials.TransportCredentials { return newPortCredentials() }

func (p *portCredentials) OverrideServerName(string) error { return nil }
