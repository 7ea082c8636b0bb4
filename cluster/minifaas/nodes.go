package minifaas

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/minifaas/peers"
	"github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// maxMemory is what no machine has: a reply above it (1 PiB) was not meant in bytes.
const maxMemory = int64(1) << 50

// ReserveNode asks for a node on behalf of an account. The error wraps cluster.ErrNoNode when the manager has none
// at the moment. A manager that is not up, or that goes away meanwhile, is waited for until ctx ends.
//
// It then gets the same request again, with the same id. Ours answers with the same node; one that ignores the id
// may have reserved two, which the contract gives no way to find out.
func (d *Driver) ReserveNode(ctx context.Context, requestID, account string) (cluster.Node, error) {
	what := call{op: "reserve a node", subject: fmt.Sprintf("for account %q", account), at: "resource manager " + d.opts.Manager, kind: reserve}
	var reply *resourcemanagerproto.ReserveNodeReply
	err := d.onManager(ctx, what, func(ctx context.Context) (err error) {
		reply, err = d.manager.ReserveNode(ctx, &resourcemanagerproto.ReserveNodeRequest{RequestId: requestID, AccountId: account},
			grpc.WaitForReady(true))
		return err
	})
	if err != nil {
		return cluster.Node{}, err
	}
	n := cluster.Node{
		ID:      reply.GetNode().GetId(),
		Address: reply.GetNode().GetAddress(),
		Port:    reply.GetNode().GetNodeServicePort(),
		Memory:  reply.GetNode().GetMemoryInBytes(),
	}
	if err := checkNode(n); err != nil {
		d.giveBack(ctx, requestID, n.ID)
		return cluster.Node{}, what.fail(err)
	}
	return n, nil
}

// checkNode refuses a node that could not be used.
func checkNode(n cluster.Node) error {
	switch {
	case n.ID == "":
		return fmt.Errorf("the reply is useless: the node has no id")
	case n.Address == "":
		return fmt.Errorf("the reply is useless: node %q has no address", n.ID)
	case n.Port < 1 || n.Port > 65535:
		return fmt.Errorf("the reply is useless: port %d of node %q is outside 1..65535", n.Port, n.ID)
	case n.Memory <= 0 || n.Memory > maxMemory:
		return fmt.Errorf("the reply is useless: node %q has %d bytes of memory", n.ID, n.Memory)
	}
	return nil
}

// giveBack releases a node that was reserved for nothing, as far as that can be done: it costs money until then.
func (d *Driver) giveBack(ctx context.Context, requestID, id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = d.manager.ReleaseNode(ctx, &resourcemanagerproto.ReleaseNodeRequest{RequestId: requestID, Id: id})
}

// ReleaseNode gives a node back and forgets its connection. The error wraps cluster.ErrNodeLost when the manager
// does not know the node (any more), so that there is nothing left to release.
func (d *Driver) ReleaseNode(ctx context.Context, requestID string, n *cluster.Node) error {
	// Before the call, not after it: the manager may hand out the same address again before we hear its answer.
	d.nodes.Drop(address(n))
	what := call{op: "release node", subject: fmt.Sprintf("%q", n.ID), at: "resource manager " + d.opts.Manager, kind: release}
	return d.onManager(ctx, what, func(ctx context.Context) error {
		_, err := d.manager.ReleaseNode(ctx, &resourcemanagerproto.ReleaseNodeRequest{RequestId: requestID, Id: n.ID}, grpc.WaitForReady(true))
		return err
	})
}

// Nodes lists the nodes that the manager has lent and not got back. The contract lets a manager go without an
// answer, and has no field for whose they are: what comes back may be another scheduler's.
func (d *Driver) Nodes(ctx context.Context) ([]cluster.Node, error) {
	what := call{op: "list", subject: "the nodes lent", at: "resource manager " + d.opts.Manager, kind: usage}
	var reply *resourcemanagerproto.GetNodesUsageReply
	err := d.onManager(ctx, what, func(ctx context.Context) (err error) {
		reply, err = d.manager.GetNodesUsage(ctx, &resourcemanagerproto.GetNodesUsageRequest{}, grpc.WaitForReady(true))
		return err
	})
	if err != nil {
		return nil, err
	}
	var nodes []cluster.Node
	for _, n := range reply.GetNodes() {
		lent := cluster.Node{ID: n.GetId(), Address: n.GetAddress(), Port: n.GetNodeServicePort(), Memory: n.GetMemoryInBytes()}
		if n.GetReleasedTimeTimestampMs() == 0 && checkNode(lent) == nil {
			nodes = append(nodes, lent)
		}
	}
	return nodes, nil
}

// onManager makes one call to the manager, and makes it again while the manager is away and ctx lasts.
func (d *Driver) onManager(ctx context.Context, what call, f func(context.Context) error) error {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	pause := peers.MinBackoff
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if status.Code(err) != codes.Unavailable || !sleep(ctx, pause) {
			return what.failed(ctx, err)
		}
		pause = min(2*pause, peers.MaxBackoff)
	}
}

// sleep waits, and reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
