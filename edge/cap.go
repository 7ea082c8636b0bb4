package edge

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// capped is a listener with a bound on its open connections. The kernel's queue would keep those beyond it waiting
// without a word; they are accepted and told instead.
type capped struct {
	net.Listener
	slots    chan struct{} // one for each open connection
	refusals chan struct{} // one for each refusal being said
	refused  func(net.Addr)

	mu     sync.Mutex
	closed bool           // guarded by mu
	saying sync.WaitGroup // added to with mu held, unless closed
}

// Bounds of politeness: refusing must cost less than serving.
const (
	maxRefusals = 16                     // said at once; further ones are closed without a word
	refusalTime = 250 * time.Millisecond // for one
)

func newCapped(l net.Listener, most int, refused func(net.Addr)) *capped {
	if refused == nil {
		refused = func(net.Addr) {}
	}
	return &capped{Listener: l, slots: make(chan struct{}, most), refusals: make(chan struct{}, maxRefusals), refused: refused}
}

func (c *capped) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case c.slots <- struct{}{}:
			return &slotted{Conn: conn, free: func() { <-c.slots }}, nil
		default:
		}
		c.refused(conn.RemoteAddr())
		c.refuse(conn)
	}
}

func (c *capped) refuse(conn net.Conn) {
	select {
	case c.refusals <- struct{}{}:
	default:
		conn.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return
	}
	c.saying.Go(func() {
		defer func() { <-c.refusals }()
		sayFull(conn)
	})
}

// Close waits for refusals that are being said, which is refusalTime at most.
func (c *capped) Close() error {
	err := c.Listener.Close()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.saying.Wait()
	return err
}

// slotted gives its slot back when it is closed, once.
type slotted struct {
	net.Conn
	once sync.Once
	free func()
}

func (s *slotted) Close() error {
	err := s.Conn.Close()
	s.once.Do(s.free)
	return err
}

// sayFull tells a peer in its own language that there is no room, then hangs up. It peeks at the first bytes: HTTP/2
// gets a GOAWAY, TLS an alert, all others a 503 of HTTP/1.
func sayFull(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(refusalTime)) // a connection that cannot is closed below all the same
	first := make([]byte, len(http2.ClientPreface))
	n, _ := io.ReadAtLeast(conn, first, 1) // what did not come is answered as HTTP/1
	if _, err := conn.Write(farewell(first[:n])); err != nil {
		return
	}
	// Closing with bytes unread would reset the connection, and the peer lose what it was told.
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, conn) // until the peer hangs up, or the deadline
	}
}

func farewell(first []byte) []byte {
	var b bytes.Buffer
	switch {
	case bytes.HasPrefix(first, []byte("PRI")):
		// Without SETTINGS before it, on purpose: after a hello in full, grpc-go takes the connection for made, and comes
		// back at once, more than twenty times a second for one waiting call; so it backs off.
		_ = http2.NewFramer(&b, nil).WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("too many connections")) // a buffer takes all
	case len(first) > 0 && first[0] == 0x16: // a handshake record
		b.Write([]byte{0x15, 3, 3, 0, 2, 2, 80}) // alert, TLS 1.2 record, 2 bytes: fatal, internal_error (RFC 8446 6.2)
	default:
		b.WriteString("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n")
	}
	return b.Bytes()
}
