package gateway

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/proto/minifaas/apiserverproto"
)

// ServerOptions lets a gRPC server take bodies as large as the HTTP side does; its own limit is 4 MiB.
func (s *Server) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.MaxRecvMsgSize(int(s.opts.MaxBody) + messageSlack)}
}

// Register serves the contract's APIServer on g, which is best made with ServerOptions.
func (s *Server) Register(g grpc.ServiceRegistrar) {
	apiserverproto.RegisterAPIServerServer(g, api{s: s})
}

// api is the contract's face of a server.
type api struct {
	apiserverproto.UnimplementedAPIServerServer
	s *Server
}

// InvokeFunction calls a function. Its reply carries no status: one that answers with an error of its own has
// answered.
func (a api) InvokeFunction(ctx context.Context, r *apiserverproto.InvokeFunctionRequest) (*apiserverproto.InvokeFunctionReply, error) {
	began := time.Now()
	reply, err := a.s.Invoke(ctx, r.GetAccountId(), r.GetFunctionName(), r.GetEvent())
	if err != nil {
		return nil, status.Error(codeOf(err), err.Error())
	}
	return &apiserverproto.InvokeFunctionReply{
		RequestId:             reply.RequestID,
		Body:                  reply.Body,
		ServerSideLatencyInMs: time.Since(began).Round(time.Millisecond).Milliseconds(),
	}, nil
}

// ListFunctions lists the catalog.
func (a api) ListFunctions(context.Context, *apiserverproto.ListFunctionsRequest) (*apiserverproto.ListFunctionsReply, error) {
	reply := &apiserverproto.ListFunctionsReply{RequestId: a.s.ids.next()}
	for _, f := range a.s.book.Load().catalog.Functions {
		reply.Functions = append(reply.Functions, &apiserverproto.FunctionConfig{
			FunctionName:  f.Name,
			TimeoutInMs:   f.Timeout.Milliseconds(),
			MemoryInBytes: f.Memory,
			Handler:       f.Handler,
		})
	}
	return reply, nil
}

// codeOf is the gRPC code of an error of Invoke.
func codeOf(err error) codes.Code {
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{ErrUnknownFunction, codes.NotFound},
		{ErrInvalid, codes.InvalidArgument},
		{ErrTooLarge, codes.InvalidArgument}, // not ResourceExhausted: it will not pass by waiting
		{ErrUnavailable, codes.Unavailable},
		{ErrDeadline, codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return codes.Internal
}
