package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// outcome is what the scheduler and the caller are told.
type outcome struct {
	reply  *Reply // never nil
	err    error  // for the caller
	retire string // for the scheduler: why the container must go; "" when it may stay
}

// run calls the function in the container of a lease. It always comes back with an outcome, since the lease must be
// returned: a panic is a bug of ours, but not a reason to keep somebody's container.
func (s *Server) run(l *lease, f *catalog.Function, event []byte) (out outcome) {
	r := l.reply()
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("panic during a call", "request", l.requestID, "function", f.Name, "panic", p, "stack", string(debug.Stack()))
			r = l.reply() // half of an answer is none
			out = outcome{reply: r, err: fmt.Errorf("%w: the gateway failed: %v", ErrFailed, p), retire: "the gateway failed during the call"}
		}
		if out.reply.Duration == 0 {
			out.reply.Duration = time.Since(began)
		}
	}()
	if l.address == "" {
		err := fmt.Errorf("%w: the scheduler's reply is useless: node %q has no usable address", ErrFailed, l.node)
		return outcome{reply: r, err: err, retire: "its node has no usable address"}
	}
	ctx, cancel := context.WithTimeout(s.stopping, f.Timeout+s.grace)
	defer cancel()
	a, err := s.converse(ctx, l, f, event)
	a.fill(r)
	v := judge(a, err, f)
	if v.err != nil {
		r.Status, r.Headers, r.Body = 0, nil, nil // half of an answer is none
		v.err = fmt.Errorf("%w (node %q at %s, container %q)", v.err, l.node, l.address, l.container)
	}
	return outcome{reply: r, err: v.err, retire: v.retire}
}

// converse sends the event to the node and collects the answer, as far as it comes. The caller ends ctx.
func (s *Server) converse(ctx context.Context, l *lease, f *catalog.Function, event []byte) (*answer, error) {
	a := &answer{limit: s.opts.MaxBody, empty: true}
	c, err := s.nodes.Get(l.address)
	if err != nil {
		return a, err
	}
	defer func() { s.nodes.Put(c, time.Now()) }()
	stream, err := nodeservoceproto.NewNodeServiceClient(c).InvokeFunction(ctx, &nodeservoceproto.InvokeFunctionRequest{
		RequestId:   l.requestID,
		ContainerId: l.container,
		Event:       event,
		FunctionMeta: &nodeservoceproto.FunctionMeta{
			FunctionName:  f.Name,
			Handler:       f.Handler,
			TimeoutInMs:   f.Timeout.Milliseconds(),
			MemoryInBytes: f.Memory,
		},
	}, grpc.MaxCallRecvMsgSize(int(s.opts.MaxBody)+messageSlack))
	for err == nil {
		var piece *nodeservoceproto.InvokeFunctionReply
		if piece, err = stream.Recv(); err == nil {
			a.add(piece)
		}
	}
	if errors.Is(err, io.EOF) {
		return a, nil
	}
	if stream != nil {
		md, _ := stream.Header() // does not wait: the stream is over
		a.reached = a.reached || md != nil
	}
	if code := status.Code(err); code == codes.Unavailable || code == codes.DeadlineExceeded {
		s.nodes.Retire(c) // broken, or leading to a machine that is gone without a word
	}
	return a, err
}

// messageSlack is room in a message for what is not body: headers and a log.
const messageSlack = 1 << 20
