package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Options tells where a port listens and who may connect. Addr is required.
type Options struct {
	Addr string // host:port; no host means 127.0.0.1, port 0 takes a free one
	Name string // of the port, for errors: "admin port". Default "port".
	Flag string // that changes Addr, for errors: "--admin". Default: none is named.

	TLS            *TLS // speaks TLS on every connection. Default: plaintext
	AllowPlaintext bool // lets a port without TLS listen wider than loopback; the flag --allow-plaintext

	Join bool // opens a port that another process of this user listens on through Listen, to take it over. Linux only

	MaxConns int            // connections open at once. Default 1,024
	Refused  func(net.Addr) // is told of each connection refused beyond MaxConns; must not block. Default: none
}

// DefaultMaxConns is far above what one scheduler sees, and far below what would exhaust its descriptors.
const DefaultMaxConns = 1024

// tcpKeepAlive finds peers that vanished without a word within about a minute; the kernel's own takes two hours.
var tcpKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// ErrPlaintext means that a port would have been readable, and writable, by the network.
var ErrPlaintext = errors.New("it would listen beyond loopback without TLS; give it a certificate, or permit that with --allow-plaintext")

// Listen opens a port. With TLS its connections are *tls.Conn: serve it with http.Server.Serve, or with a grpc.Server
// made with ServerOptions, and never with ServeTLS or credentials of your own.
func Listen(o Options) (net.Listener, error) {
	if o.Name == "" {
		o.Name = "port"
	}
	if o.MaxConns < 0 {
		return nil, fmt.Errorf("edge: %s: at most %d connections: want 1 or more", o.Name, o.MaxConns)
	}
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	addr, err := resolve(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("edge: %s: %w%s", o.Name, err, choose(o.Flag))
	}
	if !addr.IP.IsLoopback() && o.TLS == nil && !o.AllowPlaintext {
		return nil, fmt.Errorf("edge: %s %s: %w", o.Name, addr, ErrPlaintext)
	}
	lc := net.ListenConfig{KeepAliveConfig: tcpKeepAlive}
	if o.Join {
		lc.Control = join
	}
	l, err := lc.Listen(context.Background(), "tcp", addr.String())
	if err == nil {
		err = share(l)
	}
	if err != nil {
		return nil, fmt.Errorf("edge: %s: %w%s", o.Name, err, choose(o.Flag))
	}
	l = newCapped(l, o.MaxConns, o.Refused)
	if o.TLS != nil {
		l = tls.NewListener(l, o.TLS.server())
	}
	return l, nil
}

// resolve looks the name up once: what is checked to be loopback is what is listened on.
func resolve(addr string) (*net.TCPAddr, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%s: want host:port", strconv.Quote(addr))
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.ResolveTCPAddr("tcp", net.JoinHostPort(host, port))
}

func choose(flag string) string {
	if flag == "" {
		return ""
	}
	return "; choose another with " + flag
}
