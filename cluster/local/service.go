package local

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/catalog"
	pb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// nodeService is a node on the wire.
type nodeService struct {
	pb.UnimplementedNodeServiceServer
	node *node
}

func (s *nodeService) Reserve(_ context.Context, r *pb.ReserveRequest) (*pb.ReserveReply, error) {
	if err := check("Reserve", text("request_id", r.RequestId), text("owner_account_id", r.OwnerAccountId)); err != nil {
		return nil, err
	}
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	s.node.owner = r.OwnerAccountId
	return &pb.ReserveReply{}, nil
}

func (s *nodeService) CreateContainer(ctx context.Context, r *pb.CreateContainerRequest) (*pb.CreateContainerReply, error) {
	meta := r.GetFunctionMeta()
	if err := check("CreateContainer",
		text("request_id", r.RequestId),
		name("name", r.Name),
		name("function_meta.function_name", meta.GetFunctionName()),
		text("function_meta.handler", meta.GetHandler()),
		atLeast("function_meta.timeout_in_ms", meta.GetTimeoutInMs(), 0),
		s.memory("function_meta.memory_in_bytes", meta.GetMemoryInBytes()),
	); err != nil {
		return nil, err
	}
	c, err := s.node.create(ctx, r.Name, meta.FunctionName, meta.MemoryInBytes)
	if err != nil {
		return nil, coded("CreateContainer", err)
	}
	return &pb.CreateContainerReply{ContainerId: c.id}, nil
}

// memory complains about an amount that no container can have on this node.
func (s *nodeService) memory(field string, bytes int64) string {
	if bytes > s.node.spec.Memory {
		return fmt.Sprintf("%s is %d, but the node has %d: ask for less, or give nodes more memory", field, bytes, s.node.spec.Memory)
	}
	return atLeast(field, bytes, catalog.MinMemory)
}

func (s *nodeService) RemoveContainer(_ context.Context, r *pb.RemoveContainerRequest) (*pb.RemoveContainerReply, error) {
	if err := check("RemoveContainer", text("request_id", r.RequestId), name("container_id", r.ContainerId)); err != nil {
		return nil, err
	}
	if err := s.node.remove(r.ContainerId); err != nil {
		return nil, coded("RemoveContainer", err)
	}
	return &pb.RemoveContainerReply{}, nil
}

func (s *nodeService) InvokeFunction(r *pb.InvokeFunctionRequest, out grpc.ServerStreamingServer[pb.InvokeFunctionReply]) error {
	meta := r.GetFunctionMeta()
	if err := check("InvokeFunction",
		text("request_id", r.RequestId),
		name("container_id", r.ContainerId),
		text("function_meta.handler", meta.GetHandler()),
		atLeast("function_meta.timeout_in_ms", meta.GetTimeoutInMs(), 0),
	); err != nil {
		return err
	}
	c, err := s.node.find(r.ContainerId)
	if err != nil {
		return coded("InvokeFunction", err)
	}
	if err := c.gone(); err != nil {
		return coded("InvokeFunction", err)
	}
	if f := meta.GetFunctionName(); f != "" && f != c.function.Name {
		return status.Errorf(codes.InvalidArgument, "InvokeFunction: function_meta.function_name is %q, but container %s runs %q: call one of its own", f, c.id, c.function.Name)
	}
	err = c.invoke(out.Context(), call{
		id:      r.RequestId,
		handler: meta.GetHandler(),
		event:   r.Event,
		timeout: s.timeout(meta.GetTimeoutInMs(), c),
	}, out)
	return coded("InvokeFunction", err)
}

// timeout of a call: what it says, else what its function says, else the node's.
func (s *nodeService) timeout(ms int64, c *container) time.Duration {
	const most = 24 * time.Hour
	switch {
	case ms > most.Milliseconds():
		return most
	case ms > 0:
		return time.Duration(ms) * time.Millisecond
	case c.function.Timeout > 0:
		return c.function.Timeout
	}
	return s.node.spec.CallLimit
}

func (s *nodeService) GetStats(context.Context, *pb.GetStatsRequest) (*pb.GetStatsReply, error) {
	return s.node.stats(time.Now()), nil
}
