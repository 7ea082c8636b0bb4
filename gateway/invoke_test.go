package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

type invokeRequest = nodeservoceproto.InvokeFunctionRequest
type invokeStream = nodeservoceproto.NodeService_InvokeFunctionServer

// failure tests an error against the sentinel that it must wrap and words that it must hold.
func failure(t *testing.T, err, sentinel error, words ...string) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Fatalf("error %v does not wrap %v", err, sentinel)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestInvoke(t *testing.T) {
	w := newWorld(t, nil)
	var asked *invokeRequest
	w.node.invoke = func(r *invokeRequest, s invokeStream) error {
		asked = r
		return echo(r, s)
	}
	r, err := w.s.Invoke(t.Context(), "", "fn", []byte("event"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Reply{
		RequestID: r.RequestID,
		Status:    200,
		Headers:   map[string][]string{"content-type": {"text/x-test"}, "X-Two": {"a", "b"}},
		Body:      []byte("event"),
		Start:     "cold",
		Wait:      1500 * time.Microsecond,
		Acquire:   r.Acquire, // our own clock's
		Container: "c1",
		Node:      "n1",
		Duration:  1500 * time.Microsecond,
		MaxMemory: 5 << 20,
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("reply\n%+v, want\n%+v", r, want)
	}
	if r.Acquire <= 0 {
		t.Errorf("the container was acquired in %v, want some time", r.Acquire)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(r.RequestID) {
		t.Errorf("request id %q is not 128 bits in hex", r.RequestID)
	}
	a := w.scheduler.acquired[0]
	if a.GetRequestId() != r.RequestID || a.GetAccountId() != "default" || a.GetFunctionName() != "fn" ||
		a.GetFunctionConfig().GetTimeoutInMs() != 10000 || a.GetFunctionConfig().GetMemoryInBytes() != 128<<20 || a.GetFunctionConfig().GetHandler() != "h" {
		t.Errorf("the scheduler was asked %v", a)
	}
	m := asked.GetFunctionMeta()
	if asked.GetRequestId() != r.RequestID || asked.GetContainerId() != "c1" || m.GetFunctionName() != "fn" || m.GetHandler() != "h" ||
		m.GetTimeoutInMs() != 10000 || m.GetMemoryInBytes() != 128<<20 {
		t.Errorf("the node was asked %v", asked)
	}
	back := w.scheduler.settled(t, 1)[0]
	if back.GetContainerId() != "c1" || back.GetDurationInNanos() != 1500000 || back.GetMaxMemoryUsageInBytes() != 5<<20 || back.GetErrorMessage() != "" {
		t.Errorf("returned %v", back)
	}
}

func TestForeignSchedulerTellsNoStart(t *testing.T) {
	for _, md := range []metadata.MD{
		nil,
		metadata.Pairs(startKey, "cold"),
		metadata.Pairs(startKey, "hot", waitKey, "1"),
		metadata.Pairs(startKey, "cold", waitKey, "-1"),
		metadata.Pairs(startKey, "cold", waitKey, "soon"),
		metadata.Pairs(startKey, "cold", waitKey, "9223372036854775807"),
	} {
		if start, wait := startOf(md); start != "" || wait != 0 {
			t.Errorf("startOf(%v) = %q, %v, want nothing", md, start, wait)
		}
	}
}

// answers are what a node may send, and what is to be made of it.
func TestAnswers(t *testing.T) {
	own := func(msg string) *nodeservoceproto.InvokeFunctionReply {
		h := header("")
		h.Header.Error, h.Header.Handled = []byte(msg), true
		return h
	}
	runtime := func(msg string) *nodeservoceproto.InvokeFunctionReply {
		h := header("200")
		h.Header.Error = []byte(msg)
		return h
	}
	foot := func(e, exception string) *nodeservoceproto.InvokeFunctionReply {
		return &nodeservoceproto.InvokeFunctionReply{Footer: &nodeservoceproto.InvokeFunctionReply_Footer{Error: e, InvokeException: exception}}
	}
	fail := func(c codes.Code, msg string, first ...*nodeservoceproto.InvokeFunctionReply) func(*invokeRequest, invokeStream) error {
		return func(r *invokeRequest, s invokeStream) error {
			if err := pieces(first...)(r, s); err != nil {
				return err
			}
			return status.Error(c, msg)
		}
	}
	for _, tt := range []struct {
		claim    string
		node     func(*invokeRequest, invokeStream) error
		status   int
		body     string
		own      string // the function's error
		err      error
		says     string // the error
		retire   string // part of what the scheduler is told; "" for nothing
		attempts int    // 0: one
	}{
		{claim: "a body in pieces", node: pieces(header("201"), body("a"), body("b"), footer(1)), status: 201, body: "ab"},
		{claim: "a body and nothing else", node: pieces(body("a")), status: 200, body: "a"},
		{claim: "everything in one piece", node: pieces(&nodeservoceproto.InvokeFunctionReply{
			Body: []byte("a"), Header: header("404").Header, Footer: footer(1).Footer}), status: 404, body: "a"},
		{claim: "a status that is no number", node: pieces(header("OK")), status: 200},
		{claim: "a status that is not final", node: pieces(header("100")), status: 200},
		{claim: "an ordinary 500 keeps its container", node: pieces(header("500"), body("oops"), footer(1)), status: 500, body: "oops"},
		{claim: "an error of the function's own keeps its container", node: pieces(own("bad input"), body("x")), status: 500, body: "x", own: "bad input"},
		{claim: "so does an exception", node: pieces(header("200"), foot("", "KeyError")), status: 200, own: "KeyError"},

		{claim: "out of memory", node: pieces(header("200"), body("half"), foot("container was killed: out of memory", "")),
			err: ErrFailed, says: "out of memory", retire: "out of memory"},
		{claim: "out of memory, by code", node: fail(codes.ResourceExhausted, "killed"), err: ErrFailed, says: "out of memory: killed", retire: "out of memory: killed"},
		{claim: "out of time", node: pieces(foot("function timed out after 10s", "")), err: ErrDeadline, says: "timed out after 10s", retire: "timed out"},
		{claim: "out of time, by code", node: fail(codes.DeadlineExceeded, "too slow"), err: ErrDeadline, says: "did not end within 10s", retire: "timeout: too slow"},
		{claim: "the runtime failed", node: pieces(runtime("process exited")), err: ErrFailed, says: "process exited", retire: "process exited"},
		{claim: "an empty answer", node: pieces(), err: ErrFailed, says: "answer is empty", retire: "answer was empty"},
		{claim: "the node broke", node: fail(codes.Internal, "bug"), err: ErrFailed, says: "bug (code 13)", retire: "bug"},
		{claim: "without a word", node: fail(codes.Internal, ""), err: ErrFailed, says: "no reason given", retire: "no reason given"},
		{claim: "lost in the middle of the answer", node: fail(codes.Unavailable, "gone", body("half")), err: ErrFailed, says: "connection was lost: gone", retire: "connection lost: gone"},
		{claim: "lost after the node took the call", node: func(_ *invokeRequest, s invokeStream) error {
			if err := s.SendHeader(metadata.MD{}); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "gone")
		}, err: ErrFailed, says: "connection was lost", retire: "connection lost: gone"},

		{claim: "a refused call keeps its container", node: fail(codes.InvalidArgument, "what?"), err: ErrFailed, says: "refused the call: what?"},
		{claim: "a message over the node's limit keeps its container", node: fail(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"),
			err: ErrFailed, says: "larger than max"},
		{claim: "an answer over our limit keeps its container", node: pieces(header("200"), body(strings.Repeat("x", 1<<19)), body(strings.Repeat("x", 1<<19)), body("x"), footer(1)),
			err: ErrFailed, says: "answer of 1048577 bytes is larger than 1048576"},
		{claim: "an answer over the message limit keeps its container", node: pieces(body(strings.Repeat("x", 3<<20))), err: ErrFailed, says: "larger than max"},

		{claim: "never reached", node: fail(codes.Unavailable, "going down"), err: ErrUnavailable, says: "going down", retire: "the call did not reach it: going down", attempts: 2},
		{claim: "no such container", node: fail(codes.NotFound, "no such container"), err: ErrUnavailable, says: "no such container", retire: "no such container", attempts: 2},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			w := newWorld(t, nil)
			w.node.invoke = tt.node
			r, err := w.s.Invoke(t.Context(), "acc", "fn", nil)
			if tt.err != nil {
				failure(t, err, tt.err, `call of "fn"`, tt.says, `node "n1" at `+w.nodeAddr, `container "c`)
			} else if err != nil {
				t.Fatal(err)
			}
			if r == nil || r.Status != tt.status || string(r.Body) != tt.body || r.Error != tt.own {
				t.Errorf("reply %+v, want status %d, body %q, own error %q", r, tt.status, tt.body, tt.own)
			}
			for _, back := range w.scheduler.settled(t, max(1, tt.attempts)) {
				if (tt.retire == "") != (back.GetErrorMessage() == "") || !strings.Contains(back.GetErrorMessage(), tt.retire) {
					t.Errorf("returned with error message %q, want %q", back.GetErrorMessage(), tt.retire)
				}
			}
		})
	}
}

func TestNodeLostBeforeTheCall(t *testing.T) {
	w := newWorld(t, nil)
	good := w.scheduler.node
	w.scheduler.onGet = func(_ context.Context, n int64) error {
		w.scheduler.node = good
		if n == 1 {
			w.scheduler.node = &schedulerproto.AcquireContainerReply{NodeId: "dead", NodeAddress: "127.0.0.1", NodeServicePort: 1}
		}
		return nil
	}
	r, err := w.s.Invoke(t.Context(), "", "fn", []byte("x"))
	if err != nil || string(r.Body) != "x" || r.Container != "c2" {
		t.Fatalf("Invoke = %+v, %v, want the answer of the second container", r, err)
	}
	backs := w.scheduler.settled(t, 2)
	if backs[0].GetErrorMessage() == "" || backs[1].GetErrorMessage() != "" || backs[0].GetRequestId() == backs[1].GetRequestId() {
		t.Errorf("returned %v: want the lost one with an error, and another request id for the second", backs)
	}
}

func TestNodeThatComesBackAtItsAddress(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Fatal(err)
	}
	w.nodeServer.Stop()
	_, err := w.s.Invoke(t.Context(), "", "fn", nil)
	failure(t, err, ErrUnavailable, "connection refused")
	serve(t, w.nodeAddr, w.registerNode)
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Errorf("the first call after the node came back: %v", err)
	}
	w.scheduler.settled(t, 4)
}

func TestUselessLeases(t *testing.T) {
	for _, port := range []int64{0, -1, 70000} {
		w := newWorld(t, nil)
		w.scheduler.node = &schedulerproto.AcquireContainerReply{NodeId: "n1", NodeAddress: "127.0.0.1", NodeServicePort: port}
		_, err := w.s.Invoke(t.Context(), "", "fn", nil)
		failure(t, err, ErrFailed, `node "n1" has no usable address`)
		if back := w.scheduler.settled(t, 1)[0]; back.GetErrorMessage() == "" {
			t.Error("a container that cannot be reached was returned as good")
		}
	}
}

func TestRefusedByTheScheduler(t *testing.T) {
	for _, tt := range []struct {
		code codes.Code
		want error
	}{
		{codes.ResourceExhausted, ErrUnavailable},
		{codes.Unavailable, ErrUnavailable},
		{codes.Canceled, ErrUnavailable}, // the scheduler stops: the caller did not cancel
		{codes.DeadlineExceeded, ErrDeadline},
		{codes.InvalidArgument, ErrInvalid},
		{codes.Internal, ErrFailed},
	} {
		w := newWorld(t, nil)
		w.scheduler.onGet = func(context.Context, int64) error { return status.Error(tt.code, "said so") }
		r, err := w.s.Invoke(t.Context(), "", "fn", nil)
		failure(t, err, tt.want, `call of "fn"`, w.schedulerAddr, "said so")
		if r == nil || r.RequestID == "" || r.Container != "" {
			t.Errorf("code %v: reply %+v, want the request id only", tt.code, r)
		}
		w.scheduler.settled(t, 0)
	}
}

func TestNoSchedulerYet(t *testing.T) {
	w := newWorld(t, nil)
	w.schedulerServer.Stop()
	_, err := w.s.Invoke(t.Context(), "", "fn", nil)
	failure(t, err, ErrUnavailable, w.schedulerAddr, "connection refused")
}

func TestWaitIsBounded(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxWait = 50 * time.Millisecond })
	w.scheduler.onGet = func(ctx context.Context, _ int64) error { <-ctx.Done(); return ctx.Err() }
	_, err := w.s.Invoke(t.Context(), "", "fn", nil)
	failure(t, err, ErrDeadline, "no container came")
}

func TestNodeThatNeverEnds(t *testing.T) {
	w := newWorld(t, nil)
	w.node.invoke = func(_ *invokeRequest, s invokeStream) error { <-s.Context().Done(); return s.Context().Err() }
	_, err := w.s.Invoke(t.Context(), "", "brief", nil)
	failure(t, err, ErrDeadline, "did not end within 50ms")
	if back := w.scheduler.settled(t, 1)[0]; !strings.HasPrefix(back.GetErrorMessage(), "timeout: ") || back.GetDurationInNanos() < 50e6 {
		t.Errorf("returned %v, want a timeout and the time that it took", back)
	}
}

func TestCallerLeavesWhileTheFunctionRuns(t *testing.T) {
	for _, tt := range []struct {
		claim string
		want  error
		leave func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"hangs up", context.Canceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}},
		{"has a deadline", ErrDeadline, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			w := newWorld(t, nil)
			finish := make(chan struct{})
			w.node.invoke = func(r *invokeRequest, s invokeStream) error { <-finish; return echo(r, s) }
			ctx, cancel := tt.leave(t.Context())
			defer cancel()
			r, err := w.s.Invoke(ctx, "", "fn", nil)
			failure(t, err, tt.want, "the caller does not wait for the function any longer")
			if r.Container != "c1" {
				t.Errorf("reply %+v, want what was known of the call", r)
			}
			w.scheduler.mu.Lock()
			if len(w.scheduler.live) != 1 {
				t.Error("the container was returned while its function ran")
			}
			w.scheduler.mu.Unlock()
			close(finish)
			if back := w.scheduler.settled(t, 1)[0]; back.GetErrorMessage() != "" || back.GetMaxMemoryUsageInBytes() != 5<<20 {
				t.Errorf("returned %v, want a good container", back)
			}
		})
	}
}

func TestCallerLeavesWhileItWaits(t *testing.T) {
	w := newWorld(t, nil)
	gone := make(chan struct{})
	w.scheduler.onGet = func(ctx context.Context, _ int64) error { <-ctx.Done(); close(gone); return ctx.Err() }
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := w.s.Invoke(ctx, "", "fn", nil)
	failure(t, err, context.Canceled, "the caller does not wait for a container any longer")
	<-gone // the scheduler heard of it
	w.scheduler.settled(t, 0)
}

// Many callers, half of whom leave at a random moment: whatever was granted comes back, once.
func TestReturnedOnceUnderCancellation(t *testing.T) {
	w := newWorld(t, nil)
	w.s.linger = 10 * time.Second // however slow the machine is
	w.scheduler.onGet = func(ctx context.Context, n int64) error {
		if n%3 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
		return ctx.Err()
	}
	w.node.invoke = func(r *invokeRequest, s invokeStream) error {
		time.Sleep(3 * time.Millisecond)
		return echo(r, s)
	}
	const calls = 300
	var answered, left atomic.Int64
	var wg sync.WaitGroup
	for i := range calls {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 0 {
				time.AfterFunc(time.Duration(rng.IntN(10_000))*time.Microsecond, cancel)
			}
			switch _, err := w.s.Invoke(ctx, "", "fn", nil); {
			case err == nil:
				answered.Add(1)
			case errors.Is(err, context.Canceled):
				left.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.scheduler.settled(t, calls)
	if answered.Load() < calls/2 || left.Load() == 0 {
		t.Errorf("%d were answered and %d left: this was to test leaving", answered.Load(), left.Load())
	}
}

// A grant that comes just after its caller left is returned without having been used.
func TestGrantAfterItsCallerLeft(t *testing.T) {
	w := newWorld(t, nil)
	w.s.linger = 10 * time.Second
	left := make(chan struct{})
	w.scheduler.onGet = func(context.Context, int64) error { <-left; return nil }
	w.node.invoke = func(r *invokeRequest, s invokeStream) error {
		t.Error("the function was called for nobody")
		return echo(r, s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := w.s.Invoke(ctx, "", "fn", nil)
	failure(t, err, ErrDeadline, "the caller does not wait for a container any longer")
	close(left)
	if back := w.scheduler.settled(t, 1)[0]; back.GetErrorMessage() != "" || back.GetDurationInNanos() != 0 {
		t.Errorf("returned %v, want an unused container", back)
	}
}

func TestReturnIsTriedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.scheduler.onReturn = func(n int64) error {
		if n < 3 {
			return status.Error(codes.Unavailable, "not now")
		}
		return nil
	}
	began := time.Now()
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > returnWait+time.Second {
		t.Errorf("the answer was held back for %v", d)
	}
	w.scheduler.settled(t, 1)
	if n := w.scheduler.returnCalls.Load(); n != 3 {
		t.Errorf("%d returns were tried, want 3", n)
	}
}

func TestReturnIsNotRepeatedForNothing(t *testing.T) {
	var log logTo
	w := newWorld(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	w.scheduler.onReturn = func(int64) error { return status.Error(codes.InvalidArgument, "no") }
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Fatal(err)
	}
	w.s.Close()
	if n := w.scheduler.returnCalls.Load(); n != 1 || !strings.Contains(log.String(), "could not be returned") {
		t.Errorf("%d returns were tried, want 1; log: %s", n, &log)
	}
}

// The first return was heard, but its answer got lost; the second is told that there is no such lease.
func TestReturnWhoseAnswerIsLost(t *testing.T) {
	var log logTo
	w := newWorld(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	w.scheduler.onReturn = func(n int64) error {
		if n == 1 {
			return status.Error(codes.Unavailable, "reply lost")
		}
		return status.Error(codes.NotFound, "no such lease")
	}
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Fatal(err)
	}
	w.s.Close()
	if log.String() != "" || w.scheduler.returnCalls.Load() != 2 {
		t.Errorf("%d returns; log: %s", w.scheduler.returnCalls.Load(), &log)
	}
}

// The scheduler restarts while the function runs: the return waits for it.
func TestSchedulerRestarts(t *testing.T) {
	w := newWorld(t, nil)
	running, finish := make(chan struct{}), make(chan struct{})
	w.node.invoke = func(r *invokeRequest, s invokeStream) error { close(running); <-finish; return echo(r, s) }
	done := make(chan error, 1)
	go func() {
		_, err := w.s.Invoke(t.Context(), "", "fn", nil)
		done <- err
	}()
	<-running
	w.schedulerServer.Stop()
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	serve(t, w.schedulerAddr, w.registerScheduler)
	w.scheduler.settled(t, 1)
}

func TestPanicReturnsTheContainer(t *testing.T) {
	var log logTo
	w := newWorld(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	nodes := w.s.nodes
	defer func() { w.s.nodes = nodes }() // for Close
	w.s.nodes = nil                      // a bug: the call goes to pieces in the middle
	_, err := w.s.Invoke(t.Context(), "", "fn", nil)
	failure(t, err, ErrFailed, "the gateway failed")
	if back := w.scheduler.settled(t, 1)[0]; back.GetErrorMessage() == "" {
		t.Error("the container was returned as good, with nobody knowing what runs in it")
	}
	if !strings.Contains(log.String(), "panic during a call") {
		t.Errorf("log: %s", &log)
	}
}

func TestCloseReturnsWhatRuns(t *testing.T) {
	w := newWorld(t, nil)
	running := make(chan struct{})
	w.node.invoke = func(_ *invokeRequest, s invokeStream) error {
		close(running)
		<-s.Context().Done()
		return s.Context().Err()
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.s.Invoke(t.Context(), "", "fn", nil)
		done <- err
	}()
	<-running
	w.s.Close()
	failure(t, <-done, ErrUnavailable, "the gateway is stopping")
	if back := w.scheduler.settled(t, 1)[0]; back.GetErrorMessage() == "" {
		t.Error("the container of a call that was cut off was returned as good")
	}
	_, err := w.s.Invoke(t.Context(), "", "fn", nil)
	failure(t, err, ErrUnavailable, "the gateway is stopping")
	w.s.Close()
}

func TestCloseEndsWaits(t *testing.T) {
	w := newWorld(t, nil)
	waiting := make(chan struct{})
	w.scheduler.onGet = func(ctx context.Context, _ int64) error { close(waiting); <-ctx.Done(); return ctx.Err() }
	done := make(chan error, 1)
	go func() {
		_, err := w.s.Invoke(t.Context(), "", "fn", nil)
		done <- err
	}()
	<-waiting
	w.s.Close()
	failure(t, <-done, ErrUnavailable, "the gateway is stopping")
}

func TestBadCalls(t *testing.T) {
	w := newWorld(t, nil)
	for _, tt := range []struct {
		account, function string
		event             []byte
		err               error
		says              string
	}{
		{"", "fm", nil, ErrUnknownFunction, `unknown function "fm": known: fn, brief`},
		{"", "breif", nil, ErrUnknownFunction, `unknown function "breif": did you mean "brief"? known: fn, brief`},
		{"", "", nil, ErrUnknownFunction, `unknown function "": known: fn, brief`},
		{"a b", "fn", nil, ErrInvalid, "an account is 1 to 128 printable ASCII characters"},
		{strings.Repeat("a", 129), "fn", nil, ErrInvalid, "an account is 1 to 128"},
		{"a\xff", "fn", nil, ErrInvalid, "an account is 1 to 128"},
		{"", "fn", bytes.Repeat([]byte("x"), 1<<20+1), ErrTooLarge, "send at most 1048576 bytes"},
	} {
		r, err := w.s.Invoke(t.Context(), tt.account, tt.function, tt.event)
		failure(t, err, tt.err, tt.says)
		if r != nil {
			t.Errorf("%q: reply %+v, want none", tt.function, r)
		}
	}
	if w.scheduler.gets.Load() != 0 {
		t.Error("the scheduler was bothered")
	}
}

func TestManyKnownFunctionsAreNotAllNamed(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Catalog = &catalog.Catalog{}
		for i := range 1000 {
			o.Catalog.Functions = append(o.Catalog.Functions, catalog.Function{Name: fmt.Sprint("f", i), Memory: 1, Timeout: 1})
		}
	})
	if got := w.s.known("zzz"); !strings.HasSuffix(got, "f18, f19 and 980 more") {
		t.Errorf("known functions: %s", got)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	good := catalog.Samples()
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Catalog: good}, `gateway: the scheduler's address "" is not host:port, such as 127.0.0.1:10600`},
		{Options{Catalog: good, Scheduler: "10600"}, `gateway: the scheduler's address "10600" is not host:port, such as 127.0.0.1:10600`},
		{Options{Scheduler: "a:1"}, `gateway: there is no function to call: give a catalog`},
		{Options{Scheduler: "a:1", Catalog: good, MaxBody: -1}, `gateway: a body of -1 bytes is outside 0..1 GiB: leave it at 0 for 6 MiB`},
		{Options{Scheduler: "a:1", Catalog: good, MaxWait: -1}, `gateway: a longest wait of -1ns is negative: leave it at 0 for 30s`},
		{Options{Scheduler: "a:1", Catalog: good, NodeIdle: -1}, `gateway: node connections idle for -1ns: leave it at 0 for 1m`},
		{Options{Scheduler: "a:1", Catalog: good, Account: "a b"}, `gateway: default account: invalid call: an account is 1 to 128 printable ASCII characters without blanks, not "a b"`},
		{Options{Scheduler: "a:1", Catalog: &catalog.Catalog{Functions: []catalog.Function{{Name: "a", Memory: 1, Timeout: 1}, {Name: "a", Memory: 1, Timeout: 1}}}},
			`gateway: function 1 of the catalog, "a": it needs a name of its own, memory and a timeout`},
	} {
		if _, err := New(tt.o); err == nil || err.Error() != tt.want {
			t.Errorf("New = %v, want %s", err, tt.want)
		}
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NodeIdle = 20 * time.Millisecond })
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); w.s.nodes.Len() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the node's connection is kept")
		}
	}
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Errorf("the call after that: %v", err)
	}
}

func TestRequestIDs(t *testing.T) {
	a, b, other := newIDs(7), newIDs(7), newIDs(8)
	if x, y, z := a.next(), b.next(), other.next(); x != y || x == z {
		t.Errorf("seeds 7, 7, 8 gave %s, %s, %s", x, y, z)
	}
	if x, y := newIDs(0).next(), newIDs(0).next(); x == y {
		t.Error("two sources without a seed gave the same id")
	}
}

// What a user of a warm function pays: acquire, invoke, return over loopback. "hops" is the floor, three bare calls.
func BenchmarkWarmInvoke(b *testing.B) {
	w := newWorld(b, nil)
	w.scheduler.metadata = metadata.Pairs(startKey, "warm", waitKey, "0")
	event := []byte(`{"functionName":"fn","param":"1"}`)
	b.Run("gateway", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.s.Invoke(b.Context(), "acc", "fn", event); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gateway-16-callers", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := w.s.Invoke(b.Context(), "acc", "fn", event); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("hops", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			bareHops(b, w, fmt.Sprint("hops-", b.N, "-", i), event)
		}
	})
}

// bareHops makes the three calls of a warm invoke and nothing else.
func bareHops(b *testing.B, w *world, id string, event []byte) {
	ctx := b.Context()
	l, err := w.s.scheduler.AcquireContainer(ctx, &schedulerproto.AcquireContainerRequest{RequestId: id})
	if err != nil {
		b.Fatal(err)
	}
	c, err := w.s.nodes.Get(w.nodeAddr)
	if err != nil {
		b.Fatal(err)
	}
	defer w.s.nodes.Put(c, time.Time{})
	stream, err := nodeservoceproto.NewNodeServiceClient(c).InvokeFunction(ctx, &invokeRequest{Event: event}, grpc.WaitForReady(true))
	for err == nil {
		_, err = stream.Recv()
	}
	if _, err := w.s.scheduler.ReturnContainer(ctx, &schedulerproto.ReturnContainerRequest{RequestId: id, ContainerId: l.GetContainerId()}); err != nil {
		b.Fatal(err)
	}
}
