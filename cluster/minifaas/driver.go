package minifaas

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/minifaas/peers"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	"github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// Options tunes a Driver.
type Options struct {
	Manager string        // host:port of the resource manager; must be given
	Timeout time.Duration // longest that a call may take whose context has no deadline. Default 30s, as the contract's clients have it.
}

// Driver is the client of one resource manager and of its nodes. Its methods may be called from several goroutines.
type Driver struct {
	opts    Options
	conn    *grpc.ClientConn // to the manager
	manager resourcemanagerproto.ResourceManagerClient
	nodes   *peers.Pool
}

// New makes a driver. It does not connect: the manager may come up later.
func New(o Options) (*Driver, error) {
	if host, port, err := net.SplitHostPort(o.Manager); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("minifaas: the resource manager's address %q is not host:port, such as 127.0.0.1:10400", o.Manager)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("minifaas: timeout %v is negative: leave it at 0 for 30s", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	conn, err := peers.Dial(o.Manager)
	if err != nil {
		return nil, fmt.Errorf("minifaas: resource manager at %s: %w", o.Manager, err)
	}
	return &Driver{
		opts:    o,
		conn:    conn,
		manager: resourcemanagerproto.NewResourceManagerClient(conn),
		nodes:   peers.New(),
	}, nil
}

// Close ends all connections, and with them the calls that still run.
func (d *Driver) Close() {
	d.conn.Close()
	d.nodes.Close()
}

// bound gives a call a deadline if it has none.
func (d *Driver) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d.opts.Timeout)
}

// onNode makes one call to a node over its connection.
func (d *Driver) onNode(ctx context.Context, n *cluster.Node, what call, f func(context.Context, nodeservoceproto.NodeServiceClient) error) error {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	c, err := d.nodes.Get(address(n))
	if err != nil {
		return what.fail(fmt.Errorf("%w: %w", errClosed, err))
	}
	defer func() { d.nodes.Put(c, time.Now()) }()
	err = f(ctx, nodeservoceproto.NewNodeServiceClient(c))
	if err == nil {
		return nil
	}
	if suspect(err) {
		d.nodes.Retire(c)
	}
	return what.failed(ctx, err)
}

// address is where a node listens.
func address(n *cluster.Node) string {
	return net.JoinHostPort(n.Address, strconv.FormatInt(n.Port, 10))
}
