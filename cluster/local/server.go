package local

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
)

// maxEvent is the largest message that a node takes, bytes. Larger input belongs into a store.
const maxEvent = 16 << 20

// newServer makes a gRPC server with what each of ours has.
func newServer() *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxEvent))
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	reflection.Register(s)
	return s
}

// coded gives an error the code that it has on the wire; nil stays nil.
func coded(method string, err error) error {
	if err == nil {
		return nil
	}
	code := codes.Internal
	for known, c := range map[error]codes.Code{
		errUnknown:               codes.NotFound,
		errGone:                  codes.NotFound,
		cluster.ErrOutOfMemory:   codes.ResourceExhausted,
		errFull:                  codes.ResourceExhausted,
		cluster.ErrNoNode:        codes.ResourceExhausted,
		errConflict:              codes.AlreadyExists,
		errClosing:               codes.Unavailable,
		context.Canceled:         codes.Canceled,
		context.DeadlineExceeded: codes.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			code = c
		}
	}
	return status.Errorf(code, "%s: %v", method, err)
}
