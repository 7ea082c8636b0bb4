package local

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// logsService is a node's logbook on the wire.
type logsService struct {
	forewarmv1.UnimplementedLogsServer
	node *node
}

func (s *logsService) Tail(r *forewarmv1.TailRequest, out grpc.ServerStreamingServer[forewarmv1.LogLine]) error {
	lines, f := s.node.logs.follow(r.Function, int(r.Lines))
	defer s.node.logs.unfollow(f)
	for _, l := range lines {
		if err := out.Send(s.message(l)); err != nil {
			return err
		}
	}
	for r.Follow {
		select {
		case l := <-f.lines:
			if n := s.node.logs.missed(f); n > 0 {
				gap := line{at: l.at, function: r.Function, text: fmt.Sprintf("(%d lines came too fast and are left out)", n), stderr: true}
				if err := out.Send(s.message(gap)); err != nil {
					return err
				}
			}
			if err := out.Send(s.message(l)); err != nil {
				return err
			}
		case <-out.Context().Done():
			return nil
		}
	}
	return nil
}

func (s *logsService) message(l line) *forewarmv1.LogLine {
	return &forewarmv1.LogLine{
		At:        timestamppb.New(l.at),
		Node:      s.node.spec.ID,
		Container: l.container,
		Function:  l.function,
		Text:      l.text,
		Stderr:    l.stderr,
	}
}
