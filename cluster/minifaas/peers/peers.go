// Package peers keeps gRPC connections to machines that come and go: one for
// each address, opened with its first call.
//
// A connection is counted while it is used, so that one which is given up ends
// with its last call and cuts none short. Nothing here retries or reads the
// clock; what a failed call means is the caller's to say.
package peers

import (
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// ErrClosed means that the pool was closed.
var ErrClosed = errors.New("connections are closed")

// Bounds of reconnecting. A peer that comes back is wanted at once, calls wait for it; one that stays away must not
// be hammered.
const (
	MinBackoff     = 100 * time.Millisecond
	MaxBackoff     = 2 * time.Second
	connectTimeout = 5 * time.Second // for one attempt: an address that swallows packets counts as dead after it
)

// Dial prepares a connection to host:port as the contract wants it: plaintext, and past any proxy, since peers stand
// in the cluster's own network. It is opened by the first call.
func Dial(addr string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts := append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: MinBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: MaxBackoff},
			MinConnectTimeout: connectTimeout,
		}),
	}, more...)
	// Passthrough leaves the name to the dialer, which asks for it at each attempt: a peer may return elsewhere.
	return grpc.NewClient("passthrough:///"+addr, opts...)
}

// Conn is a connection to one peer. It belongs to whoever got it from Get until Put.
type Conn struct {
	*grpc.ClientConn
	addr string

	// Guarded by Pool.mu.
	users int
	idle  time.Time // since when it has no users
	given bool      // given up: no longer in the pool, closed by the last user
}

// Pool is the connections to all peers. Its methods may be called from several goroutines.
type Pool struct {
	opts []grpc.DialOption

	mu     sync.Mutex
	conns  map[string]*Conn // guarded by mu
	closed bool             // guarded by mu
}

// New makes an empty pool, whose connections are dialed with more options.
func New(more ...grpc.DialOption) *Pool {
	return &Pool{opts: more, conns: map[string]*Conn{}}
}

// Get gives the connection to host:port. Put it back after the call.
func (p *Pool) Get(addr string) (*Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	c := p.conns[addr]
	if c == nil {
		cc, err := Dial(addr, p.opts...)
		if err != nil {
			return nil, err
		}
		c = &Conn{ClientConn: cc, addr: addr}
		p.conns[addr] = c
	}
	c.users++
	return c, nil
}

// Put ends a use that began with Get.
func (p *Pool) Put(c *Conn, now time.Time) {
	p.mu.Lock()
	c.users--
	c.idle = now
	last := c.given && c.users == 0
	p.mu.Unlock()
	if last {
		c.Close()
	}
}

// Retire takes a connection that failed out of the pool, so that the next call dials anew instead of waiting for
// its backoff. The connection must be in use.
func (p *Pool) Retire(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveUpLocked(c)
}

// Drop forgets an address: its connection is closed once nobody uses it.
func (p *Pool) Drop(addr string) {
	p.mu.Lock()
	c := p.conns[addr]
	unused := c != nil && c.users == 0
	if c != nil {
		p.giveUpLocked(c)
	}
	p.mu.Unlock()
	if unused {
		c.Close()
	}
}

// Sweep closes what has not been used for a while.
func (p *Pool) Sweep(now time.Time, unused time.Duration) {
	var old []*Conn
	p.mu.Lock()
	for _, c := range p.conns {
		if c.users == 0 && now.Sub(c.idle) >= unused {
			p.giveUpLocked(c)
			old = append(old, c)
		}
	}
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

func (p *Pool) giveUpLocked(c *Conn) {
	c.given = true
	if p.conns[c.addr] == c {
		delete(p.conns, c.addr)
	}
}

// Len is the number of connections in the pool.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Close closes all connections at once, whoever uses them.
func (p *Pool) Close() {
	p.mu.Lock()
	conns := p.conns
	p.conns, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}
