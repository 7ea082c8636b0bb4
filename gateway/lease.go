package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// Metadata in which our scheduler says what the contract's reply has no field for.
const (
	startKey = "forewarm-start"   // warm, waited or cold
	waitKey  = "forewarm-wait-us" // microseconds
)

// lease is the right to use a container for one call.
type lease struct {
	requestID string
	container string
	node      string
	address   string // of the node, host:port; "" where the scheduler gave one that is none
	start     string
	wait      time.Duration
	asked     time.Duration // by our own clock, from the question to the answer
}

// reply is what is known of a call before its function ran.
func (l *lease) reply() *Reply {
	return &Reply{RequestID: l.requestID, Start: l.start, Wait: l.wait, Acquire: l.asked, Container: l.container, Node: l.node}
}

// linger is for how long a request for a container outlives its caller. A grant that crosses a cancellation on the
// wire is lost to us, since without the container's name it cannot be returned, and holds the container until the
// scheduler ends it after the function's timeout. Most grants come at once or take a start; so one that is on its way
// is waited for, and only then is the scheduler told to start nothing more for this caller.
const linger = 100 * time.Millisecond

// acquire gets a lease for a call of f.
func (s *Server) acquire(caller context.Context, id, account string, f *catalog.Function) (*lease, error) {
	limit := s.opts.MaxWait
	if d, ok := caller.Deadline(); ok {
		limit = min(limit, time.Until(d)+s.linger)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), limit)
	defer cancel()
	defer context.AfterFunc(caller, func() { time.AfterFunc(s.linger, cancel) })()
	defer context.AfterFunc(s.stopping, cancel)()
	reply, header, err := s.ask(ctx, &schedulerproto.AcquireContainerRequest{
		RequestId:    id,
		AccountId:    account,
		FunctionName: f.Name,
		FunctionConfig: &schedulerproto.FunctionConfig{
			TimeoutInMs:   f.Timeout.Milliseconds(),
			MemoryInBytes: f.Memory,
			Handler:       f.Revision(),
		},
	})
	if err != nil {
		return nil, s.notAcquired(err)
	}
	l := &lease{requestID: id, container: reply.GetContainerId(), node: reply.GetNodeId()}
	if l.container == "" {
		return nil, fmt.Errorf("%w: the scheduler's reply is useless: it names no container", ErrFailed)
	}
	if port := reply.GetNodeServicePort(); reply.GetNodeAddress() != "" && 1 <= port && port <= 65535 {
		l.address = net.JoinHostPort(reply.GetNodeAddress(), strconv.FormatInt(port, 10))
	}
	l.start, l.wait = startOf(header)
	return l, nil
}

// Bounds of asking again where the scheduler is not there.
const (
	askFor   = 2 * time.Second // after the first time; a scheduler that is replaced or restarted is back in less
	askPause = 20 * time.Millisecond
	askMost  = 200 * time.Millisecond // between two times
)

// ask asks for a container until the scheduler is there to answer, for a while. It always has the same request id, so
// a scheduler that had granted one already, and whose answer was lost, gives the same again.
func (s *Server) ask(ctx context.Context, r *schedulerproto.AcquireContainerRequest) (*schedulerproto.AcquireContainerReply, metadata.MD, error) {
	for began, pause := time.Now(), askPause; ; pause = min(2*pause, askMost) {
		var header metadata.MD
		reply, err := s.scheduler.AcquireContainer(ctx, r, grpc.Header(&header))
		if status.Code(err) != codes.Unavailable || time.Since(began)+pause > s.askFor {
			return reply, header, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return reply, header, err
		}
	}
}

// startOf reads what the scheduler says of the start; "" unless all of it is there and makes sense.
func startOf(md metadata.MD) (string, time.Duration) {
	start, wait := md.Get(startKey), md.Get(waitKey)
	if len(start) != 1 || len(wait) != 1 {
		return "", 0
	}
	us, err := strconv.ParseInt(wait[0], 10, 64)
	if err != nil || us < 0 || us > time.Duration(1<<63-1).Microseconds() {
		return "", 0
	}
	switch start[0] {
	case "warm", "waited", "cold":
		return start[0], time.Duration(us) * time.Microsecond
	}
	return "", 0
}

// notAcquired says what a refusal of the scheduler means to the caller.
func (s *Server) notAcquired(err error) error {
	st := status.Convert(err)
	said := fmt.Sprintf("scheduler at %s: %s", s.opts.Scheduler, st.Message())
	switch st.Code() {
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: no container came: %s", ErrDeadline, said)
	case codes.Canceled:
		if s.stopping.Err() != nil {
			return fmt.Errorf("%w: the gateway is stopping", ErrUnavailable)
		}
		return fmt.Errorf("%w: %s", ErrUnavailable, said) // it is the scheduler that stops, or else nobody reads this
	case codes.ResourceExhausted, codes.Unavailable:
		return fmt.Errorf("%w: %s", ErrUnavailable, said)
	case codes.InvalidArgument:
		return fmt.Errorf("%w: %s", ErrInvalid, said)
	}
	return fmt.Errorf("%w: no container: %s (code %d)", ErrFailed, said, st.Code())
}

// Bounds of giving a container back: about nine seconds in all, which a scheduler's restart fits in.
const (
	returnAttempts = 4
	returnTimeout  = 2 * time.Second // of each attempt
	returnPause    = 50 * time.Millisecond
)

// giveBack returns the container, whoever still waits for the call: its context is nobody's but its own.
func (s *Server) giveBack(l *lease, out outcome) {
	req := &schedulerproto.ReturnContainerRequest{
		RequestId:             l.requestID,
		ContainerId:           l.container,
		DurationInNanos:       out.reply.Duration.Nanoseconds(),
		MaxMemoryUsageInBytes: out.reply.MaxMemory,
		ErrorMessage:          out.retire,
	}
	var err error
	for attempt, pause := 1, returnPause; ; attempt, pause = attempt+1, 4*pause {
		if err = s.returnOnce(req); err == nil {
			return
		}
		if attempt > 1 && status.Code(err) == codes.NotFound {
			return // an attempt before was heard, only its answer was lost
		}
		if attempt == returnAttempts || !passing(err) {
			break
		}
		time.Sleep(pause)
	}
	s.opts.Log.Error("a container could not be returned; the scheduler will end its lease",
		"scheduler", s.opts.Scheduler, "request", l.requestID, "container", l.container, "err", err)
}

func (s *Server) returnOnce(req *schedulerproto.ReturnContainerRequest) error {
	ctx, cancel := context.WithTimeout(context.Background(), returnTimeout)
	defer cancel()
	_, err := s.scheduler.ReturnContainer(ctx, req, grpc.WaitForReady(true))
	return err
}

// passing reports whether the same request may succeed a little later.
func passing(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}
