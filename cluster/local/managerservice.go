package local

import (
	"context"

	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// managerService is a manager on the wire.
type managerService struct {
	pb.UnimplementedResourceManagerServer
	manager *Manager
}

func (s *managerService) ReserveNode(ctx context.Context, r *pb.ReserveNodeRequest) (*pb.ReserveNodeReply, error) {
	if err := check("ReserveNode", text("request_id", r.RequestId), text("account_id", r.AccountId)); err != nil {
		return nil, err
	}
	node, err := s.manager.reserve(ctx, r.RequestId, r.AccountId)
	if err != nil {
		return nil, coded("ReserveNode", err)
	}
	return &pb.ReserveNodeReply{Node: s.manager.describe(node)}, nil
}

func (s *managerService) ReleaseNode(_ context.Context, r *pb.ReleaseNodeRequest) (*pb.ReleaseNodeReply, error) {
	if err := check("ReleaseNode", text("request_id", r.RequestId), name("id", r.Id)); err != nil {
		return nil, err
	}
	if err := s.manager.giveBack(r.Id); err != nil {
		return nil, coded("ReleaseNode", err)
	}
	return &pb.ReleaseNodeReply{}, nil
}

func (s *managerService) GetNodesUsage(context.Context, *pb.GetNodesUsageRequest) (*pb.GetNodesUsageReply, error) {
	return &pb.GetNodesUsageReply{Nodes: s.manager.list()}, nil
}
