package serve

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// Header keys by which the edge tells a caller how its call was served; the contract has no field for it.
const (
	HeaderStart = "forewarm-start"   // warm, waited or cold
	HeaderWait  = "forewarm-wait-us" // time in the waiting line, microseconds
)

// Register serves the contract's Scheduler.
func (s *Shell) Register(g *grpc.Server) {
	schedulerproto.RegisterSchedulerServer(g, &edge{shell: s})
}

// edge turns messages into calls of the shell, and errors into codes.
type edge struct {
	schedulerproto.UnimplementedSchedulerServer
	shell *Shell
}

func (e *edge) AcquireContainer(ctx context.Context, r *schedulerproto.AcquireContainerRequest) (*schedulerproto.AcquireContainerReply, error) {
	cfg := r.GetFunctionConfig()
	if cfg == nil {
		return nil, status.Error(codes.InvalidArgument, "function_config is missing; it carries the function's memory and timeout")
	}
	timeout, err := millis("function_config.timeout_in_ms", cfg.GetTimeoutInMs())
	if err != nil {
		return nil, err
	}
	l, err := e.shell.Acquire(ctx, dispatcher.Request{
		ID:          r.GetRequestId(),
		Concurrency: e.shell.opts.Concurrency(r.GetAccountId(), r.GetFunctionName()),
		Function: cluster.Function{Account: r.GetAccountId(), Name: r.GetFunctionName(), Handler: cfg.GetHandler(),
			Memory: cfg.GetMemoryInBytes(), Timeout: timeout},
	})
	if err != nil {
		return nil, toStatus(err)
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs(HeaderStart, l.Served.String(), HeaderWait, strconv.FormatInt(l.Wait.Microseconds(), 10))); err != nil {
		return nil, err // not a call of gRPC's
	}
	return &schedulerproto.AcquireContainerReply{NodeId: l.Node.ID, NodeAddress: l.Node.Address, NodeServicePort: l.Node.Port, ContainerId: l.ContainerID}, nil
}

func (e *edge) ReturnContainer(_ context.Context, r *schedulerproto.ReturnContainerRequest) (*schedulerproto.ReturnContainerReply, error) {
	err := e.shell.Return(dispatcher.Returned{
		RequestID:   r.GetRequestId(),
		ContainerID: r.GetContainerId(),
		Duration:    time.Duration(r.GetDurationInNanos()),
		MaxMemory:   r.GetMaxMemoryUsageInBytes(),
		Failed:      r.GetErrorMessage() != "" || r.GetErrorCode() != "",
		OutOfMemory: outOfMemory(r.GetErrorMessage()),
	})
	if err != nil {
		return nil, toStatus(err)
	}
	return &schedulerproto.ReturnContainerReply{}, nil
}

var oomWords = regexp.MustCompile(`(?i)\b(out of memory|oom|oom[- ]?killed|memory limit)\b`)

// outOfMemory guesses from the words of an error: the contract has no code for it.
func outOfMemory(message string) bool {
	return oomWords.MatchString(message)
}

func millis(field string, ms int64) (time.Duration, error) {
	if ms < 0 || ms > int64(24*time.Hour/time.Millisecond) {
		return 0, status.Error(codes.InvalidArgument, fmt.Sprintf("%s is %d, it must be between 0 (a minute) and 86400000 (a day)", field, ms))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func toStatus(err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, dispatcher.ErrInvalid):
		code = codes.InvalidArgument
	case errors.Is(err, dispatcher.ErrPaused):
		code = codes.FailedPrecondition
	case errors.Is(err, dispatcher.ErrLineFull), errors.Is(err, dispatcher.ErrLimit):
		code = codes.ResourceExhausted
	case errors.Is(err, dispatcher.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, dispatcher.ErrUnknownLease):
		code = codes.NotFound
	case errors.Is(err, dispatcher.ErrClosing), errors.Is(err, dispatcher.ErrNoStart):
		code = codes.Unavailable
	}
	s := status.New(code, err.Error())
	if after, ok := dispatcher.RetryAfter(err); ok {
		if hinted, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); err == nil {
			s = hinted
		}
	}
	return s.Err()
}
