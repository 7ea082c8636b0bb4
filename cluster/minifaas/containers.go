package minifaas

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// CreateContainer starts a container of function f on node n and gives the node's name for it. What the node books
// is the container's memory, not the function's. The error wraps cluster.ErrOutOfMemory when the node has no room,
// cluster.ErrNodeLost when it cannot be reached.
func (d *Driver) CreateContainer(ctx context.Context, requestID string, n *cluster.Node, f *cluster.Function, c cluster.Container) (string, error) {
	what := call{op: "create container", subject: fmt.Sprintf("%q of function %q", c.Name, f.Name), at: at(n), kind: create}
	if c.Name == "" || c.Memory <= 0 {
		return "", what.fail(fmt.Errorf("it needs a name and some memory, not %d bytes", c.Memory))
	}
	req := &nodeservoceproto.CreateContainerRequest{
		RequestId: requestID,
		Name:      c.Name,
		FunctionMeta: &nodeservoceproto.FunctionMeta{
			FunctionName:  f.Name,
			Handler:       f.Handler,
			TimeoutInMs:   milliseconds(f.Timeout),
			MemoryInBytes: c.Memory,
		},
	}
	var id string
	err := d.onNode(ctx, n, what, func(ctx context.Context, node nodeservoceproto.NodeServiceClient) error {
		reply, err := node.CreateContainer(ctx, req)
		id = reply.GetContainerId()
		return err
	})
	if err == nil && id == "" {
		err = what.fail(errors.New("the reply is useless: the container has no id"))
	}
	return id, err
}

// milliseconds rounds up, so that no timeout becomes none.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// RemoveContainer stops a container. The error wraps cluster.ErrNotFound when the node does not know it, and
// cluster.ErrNodeLost when the node cannot be reached.
func (d *Driver) RemoveContainer(ctx context.Context, requestID string, n *cluster.Node, id string) error {
	what := call{op: "remove container", subject: fmt.Sprintf("%q", id), at: at(n), kind: remove}
	return d.onNode(ctx, n, what, func(ctx context.Context, node nodeservoceproto.NodeServiceClient) error {
		_, err := node.RemoveContainer(ctx, &nodeservoceproto.RemoveContainerRequest{RequestId: requestID, ContainerId: id})
		return err
	})
}

// at names a node for messages.
func at(n *cluster.Node) string { return fmt.Sprintf("node %q (%s)", n.ID, address(n)) }
