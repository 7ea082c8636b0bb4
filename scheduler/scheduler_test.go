package scheduler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// oneNode is a cluster that does all at once. Its nodes are numbered; most tests come to need one.
type oneNode struct {
	released chan struct{}
	reserved atomic.Int64
}

func (o *oneNode) ReserveNode(context.Context, string, string) (cluster.Node, error) {
	return cluster.Node{ID: fmt.Sprintf("node-%d", o.reserved.Add(1)), Address: "10.0.0.1", Port: 1, Memory: 3 * cluster.GiB}, nil
}

func (o *oneNode) ReleaseNode(context.Context, string, *cluster.Node) error {
	o.released <- struct{}{}
	return nil
}

func (o *oneNode) CreateContainer(_ context.Context, _ string, _ *cluster.Node, _ *cluster.Function, c cluster.Container) (string, error) {
	return "id-of-" + c.Name, nil
}

func (o *oneNode) RemoveContainer(context.Context, string, *cluster.Node, string) error { return nil }

func (o *oneNode) Stats(context.Context, *cluster.Node) (cluster.Stats, error) {
	return cluster.Stats{}, nil
}

func options(t *testing.T) (Options, *oneNode) {
	c := &oneNode{released: make(chan struct{}, 10)}
	return Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Shell: serve.Options{Driver: c}, Drain: 5 * time.Second}, c
}

// running starts a scheduler; stop ends it and gives what Run said.
func running(t *testing.T, o Options) (s *Scheduler, conn *grpc.ClientConn, stop func(cause error) error) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err = grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return s, conn, func(cause error) error {
		cancel(cause)
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second):
			t.Fatal("Run did not return within 20s")
			return nil
		}
	}
}

// call makes one call to its end.
func call(t *testing.T, conn *grpc.ClientConn, id string) {
	t.Helper()
	client := schedulerproto.NewSchedulerClient(conn)
	reply, err := client.AcquireContainer(t.Context(), &schedulerproto.AcquireContainerRequest{RequestId: id, AccountId: "acc", FunctionName: "f",
		FunctionConfig: &schedulerproto.FunctionConfig{MemoryInBytes: 128 << 20, TimeoutInMs: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ReturnContainer(t.Context(), &schedulerproto.ReturnContainerRequest{RequestId: id, ContainerId: reply.GetContainerId()}); err != nil {
		t.Fatal(err)
	}
}

// A scheduler ends with its nodes given back, although a client goes on watching its health, and the next one knows
// what it learnt.
func TestRunEndsAndRemembers(t *testing.T) {
	o, c := options(t)
	o.State = filepath.Join(t.TempDir(), "state.db")
	_, conn, stop := running(t, o)
	for _, id := range []string{"r-1", "r-2", "r-3"} {
		call(t, conn, id)
	}
	watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // the planner reads the news
	began := time.Now()
	if err := stop(nil); err != nil {
		t.Errorf("Run = %v", err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("Run took %v to end with nothing but a watch open", d)
	}
	if len(c.released) != 1 {
		t.Errorf("%d nodes were released, want 1", len(c.released))
	}

	s, conn, stop := running(t, o)
	call(t, conn, "r-4")
	time.Sleep(300 * time.Millisecond)
	gaps := int32(0)
	s.Controller.View(func(p *prewarm.Planner) {
		p.Forecasts(s.Shell.Now(), func(f prewarm.Forecast) bool { gaps += f.Why.Gaps; return true })
	})
	if gaps == 0 {
		t.Error("the next run has seen no gaps, want those of the last one")
	}
	if err := stop(nil); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// With a call that never returns, the drain ends the wait and the node is released all the same. An orphan does not
// even wait.
func TestRunEndsWithACallThatRuns(t *testing.T) {
	for _, tt := range []struct {
		claim          string
		cause          error
		least, most    time.Duration
		released, fail bool
	}{
		{"after its drain", nil, 500 * time.Millisecond, 5 * time.Second, true, true},
		{"at once when it is orphaned", ErrOrphaned, 0, 2 * time.Second, false, false},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			t.Parallel()
			o, c := options(t)
			o.Drain = 500 * time.Millisecond
			_, conn, stop := running(t, o)
			_, err := schedulerproto.NewSchedulerClient(conn).AcquireContainer(t.Context(), &schedulerproto.AcquireContainerRequest{RequestId: "r-1",
				FunctionName: "f", FunctionConfig: &schedulerproto.FunctionConfig{MemoryInBytes: 128 << 20, TimeoutInMs: 60_000}})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err = stop(tt.cause)
			if d := time.Since(began); d < tt.least || d > tt.most {
				t.Errorf("Run took %v to end, want %v to %v", d, tt.least, tt.most)
			}
			if (err != nil) != tt.fail || (len(c.released) == 1) != tt.released {
				t.Errorf("Run = %v with %d nodes released, want an error: %v, released: %v", err, len(c.released), tt.fail, tt.released)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	addr := busy.Addr().String()
	for claim, tt := range map[string]struct {
		spoil func(*Options)
		says  []string
	}{
		"a port in use":        {func(o *Options) { o.Listen = addr }, []string{addr, "in use", "--port"}},
		"an admin port in use": {func(o *Options) { o.Admin = addr }, []string{addr, "in use", "--admin"}},
		"no cluster":           {func(o *Options) { o.Shell.Driver = nil }, []string{"driver"}},
		"a negative price":     {func(o *Options) { o.Planner.Kappa = -1 }, []string{"kappa"}},
		"a state file nowhere": {func(o *Options) { o.State = filepath.Join(t.TempDir(), "no", "state.db") }, []string{"state.db", "no such file"}},
		"a folder as a state":  {func(o *Options) { o.State = t.TempDir() }, []string{"is no file"}},
	} {
		o, _ := options(t)
		tt.spoil(&o)
		s, err := New(o)
		if err == nil {
			t.Errorf("New with %s: %v, want an error", claim, s.Addr())
			continue
		}
		for _, piece := range tt.says {
			if !strings.Contains(err.Error(), piece) {
				t.Errorf("New with %s: %v does not say %q", claim, err, piece)
			}
		}
	}
}

func TestNoAdminPort(t *testing.T) {
	o, _ := options(t)
	o.Admin = "none"
	s, _, stop := running(t, o)
	if s.AdminAddr() != "" {
		t.Errorf("AdminAddr = %q, want none", s.AdminAddr())
	}
	if err := stop(errors.New("enough")); err != nil {
		t.Errorf("Run = %v", err)
	}
}
