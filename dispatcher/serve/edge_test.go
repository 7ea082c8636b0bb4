package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// onTheWire serves a shell to a client over memory. Time is real here: gRPC lives outside of bubbles.
func onTheWire(t *testing.T, o Options) (*Shell, *fakeCluster, schedulerproto.SchedulerClient) {
	t.Helper()
	c := newFake()
	c.reserveTakes, c.startIn = time.Millisecond, 20*time.Millisecond
	o.Driver = c
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	s.Register(g)
	go g.Serve(l)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		g.Stop()
		stop()
		<-ended
	})
	return s, c, schedulerproto.NewSchedulerClient(conn)
}

func acquireRequest(id string) *schedulerproto.AcquireContainerRequest {
	return &schedulerproto.AcquireContainerRequest{RequestId: id, AccountId: "acc", FunctionName: "f",
		FunctionConfig: &schedulerproto.FunctionConfig{TimeoutInMs: 1000, MemoryInBytes: 128 << 20, Handler: "h"}}
}

func TestEdgeTellsHowACallWasServed(t *testing.T) {
	_, _, client := onTheWire(t, Options{})
	var container string
	for i, want := range []string{"cold", "warm"} {
		var header metadata.MD
		id := fmt.Sprintf("r-%d", i)
		reply, err := client.AcquireContainer(t.Context(), acquireRequest(id), grpc.Header(&header))
		if err != nil {
			t.Fatal(err)
		}
		us, err := strconv.Atoi(first(header, HeaderWait))
		if got := first(header, HeaderStart); got != want || err != nil || (us == 0) != (want == "warm") {
			t.Errorf("headers of call %d: %v, want %s with its wait", i, header, want)
		}
		if reply.GetNodeId() != "node-1" || reply.GetNodeAddress() != "10.0.0.1" || reply.GetNodeServicePort() != 1001 || reply.GetContainerId() == "" {
			t.Errorf("reply to call %d: %v, want a container on node-1 at 10.0.0.1:1001", i, reply)
		}
		if i > 0 && reply.GetContainerId() != container {
			t.Errorf("the warm call is in %s, the cold one was in %s", reply.GetContainerId(), container)
		}
		container = reply.GetContainerId()
		if _, err := client.ReturnContainer(t.Context(), &schedulerproto.ReturnContainerRequest{RequestId: id, ContainerId: container, DurationInNanos: 5}); err != nil {
			t.Errorf("return of call %d: %v", i, err)
		}
	}
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

func TestEdgeCodes(t *testing.T) {
	s, c, client := onTheWire(t, Options{Core: dispatcher.Options{MaxLine: 1, MaxWait: 100 * time.Millisecond}})
	c.change(func() { c.refused = 1 << 30 })
	short, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	for _, tt := range []struct {
		claim string
		call  func() error
		want  codes.Code
	}{
		{"no configuration", func() error {
			r := acquireRequest("r")
			r.FunctionConfig = nil
			_, err := client.AcquireContainer(t.Context(), r)
			return err
		}, codes.InvalidArgument},
		{"a negative timeout", func() error {
			r := acquireRequest("r")
			r.FunctionConfig.TimeoutInMs = -1
			_, err := client.AcquireContainer(t.Context(), r)
			return err
		}, codes.InvalidArgument},
		{"no memory", func() error {
			r := acquireRequest("r")
			r.FunctionConfig.MemoryInBytes = 0
			_, err := client.AcquireContainer(t.Context(), r)
			return err
		}, codes.InvalidArgument},
		{"no container in time", func() error {
			_, err := client.AcquireContainer(t.Context(), acquireRequest("r"))
			return err
		}, codes.DeadlineExceeded},
		{"no container in the caller's time", func() error {
			_, err := client.AcquireContainer(short, acquireRequest("r"))
			return err
		}, codes.DeadlineExceeded},
		{"a full line", func() error {
			go client.AcquireContainer(t.Context(), acquireRequest("r-1"))
			return eventually(func() error {
				if _, waiting := totals(s); waiting == 0 {
					return errors.New("the line is empty")
				}
				_, err := client.AcquireContainer(t.Context(), acquireRequest("r-2"))
				return err
			}, codes.ResourceExhausted)
		}, codes.ResourceExhausted},
		{"an unknown lease", func() error {
			_, err := client.ReturnContainer(t.Context(), &schedulerproto.ReturnContainerRequest{RequestId: "r", ContainerId: "c"})
			return err
		}, codes.NotFound},
		{"a negative duration", func() error {
			_, err := client.ReturnContainer(t.Context(), &schedulerproto.ReturnContainerRequest{RequestId: "r", ContainerId: "c", DurationInNanos: -1})
			return err
		}, codes.InvalidArgument},
		{"a scheduler that stops", func() error {
			s.do(s.core.Shutdown)
			_, err := client.AcquireContainer(t.Context(), acquireRequest("r"))
			return err
		}, codes.Unavailable},
	} {
		if err := tt.call(); status.Code(err) != tt.want {
			t.Errorf("%s: %v, want code %v", tt.claim, err, tt.want)
		}
	}
}

// eventually tries for a second to get a code.
func eventually(call func() error, want codes.Code) (err error) {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err = call(); status.Code(err) == want {
			return err
		}
	}
	return err
}

func TestToStatus(t *testing.T) {
	for err, want := range map[error]codes.Code{
		dispatcher.ErrInvalid:       codes.InvalidArgument,
		dispatcher.ErrLineFull:      codes.ResourceExhausted,
		dispatcher.ErrDeadline:      codes.DeadlineExceeded,
		context.DeadlineExceeded:    codes.DeadlineExceeded,
		context.Canceled:            codes.Canceled,
		dispatcher.ErrUnknownLease:  codes.NotFound,
		dispatcher.ErrClosing:       codes.Unavailable,
		errors.New("anything else"): codes.Internal,
	} {
		wrapped := fmt.Errorf("of function %q: %w", "f", err)
		if got := toStatus(wrapped); status.Code(got) != want || status.Convert(got).Message() != wrapped.Error() {
			t.Errorf("toStatus(%v) = %v, want code %v and the same words", wrapped, got, want)
		}
	}
}

func TestOutOfMemoryIsGuessedFromWords(t *testing.T) {
	for message, want := range map[string]bool{
		"":                                    false,
		"OOM killed":                          true,
		"container ran out of memory":         true,
		"Memory limit of 128 MiB exceeded":    true,
		"timeout after 60000 ms":              false,
		"there is no room in the bathroom":    false,
		"out of memory: the node refused it ": true,
	} {
		if got := outOfMemory(message); got != want {
			t.Errorf("outOfMemory(%q) = %v, want %v", message, got, want)
		}
	}
}
