package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
	"github.com/forewarm/forewarm/scheduler"
)

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// memoryCluster is a cluster of any number of nodes that does all at once, and names containers as Docker does.
type memoryCluster struct{ nodes, containers atomic.Int64 }

func (m *memoryCluster) ReserveNode(context.Context, string, string) (cluster.Node, error) {
	return cluster.Node{ID: fmt.Sprintf("node-%d", m.nodes.Add(1)), Address: "10.0.0.1", Port: 1, Memory: 3 * cluster.GiB}, nil
}

func (m *memoryCluster) ReleaseNode(context.Context, string, *cluster.Node) error { return nil }

func (m *memoryCluster) CreateContainer(context.Context, string, *cluster.Node, *cluster.Function, cluster.Container) (string, error) {
	return fmt.Sprintf("%064x", m.containers.Add(1)), nil
}

func (m *memoryCluster) RemoveContainer(context.Context, string, *cluster.Node, string) error {
	return nil
}

func (m *memoryCluster) Stats(context.Context, *cluster.Node) (cluster.Stats, error) {
	return cluster.Stats{}, nil
}

// drive runs a scheduler and so many calls against it, spread over functions, and returns how many containers that took.
func drive(t *testing.T, l *logs, trace string, calls, functions int) int64 {
	t.Helper()
	c := &memoryCluster{}
	s, err := scheduler.New(scheduler.Options{Listen: "127.0.0.1:0", Admin: "none", Drain: 5 * time.Second, Log: l.log, TraceFunction: trace,
		Shell: serve.Options{Driver: c, TraceLog: l.trace, Concurrency: func(string, string) int { return 1 }}, Planner: prewarm.Options{Kappa: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := schedulerproto.NewSchedulerClient(conn)
	work := make(chan int)
	var callers sync.WaitGroup
	for range 200 {
		callers.Go(func() {
			for i := range work {
				id := fmt.Sprint("r-", i)
				reply, err := client.AcquireContainer(t.Context(), &schedulerproto.AcquireContainerRequest{RequestId: id, AccountId: "acc",
					FunctionName: fmt.Sprint("f-", i%functions), FunctionConfig: &schedulerproto.FunctionConfig{MemoryInBytes: 128 << 20, TimeoutInMs: 10_000}})
				if err != nil {
					t.Error(err)
					continue
				}
				time.Sleep(10 * time.Millisecond)
				if _, err := client.ReturnContainer(t.Context(), &schedulerproto.ReturnContainerRequest{RequestId: id, ContainerId: reply.GetContainerId(), DurationInNanos: 1e7}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range calls {
		work <- i
	}
	close(work)
	callers.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return c.containers.Load()
}

// 2,500 calls of 100 functions, which take hundreds of containers, write little at the default level, in both formats.
func TestLogsStaySmall(t *testing.T) {
	const functions = 100 // of which each has a container at least, and most have two or more
	for _, format := range []string{"text", "json"} {
		var out lines
		l, err := newLogs(&out, "scheduler", "info", format)
		if err != nil {
			t.Fatal(err)
		}
		made := drive(t, l, "", 2500, functions)
		text := out.String()
		t.Logf("%s: %d containers, %d bytes in %d lines", format, made, len(text), strings.Count(text, "\n"))
		if made < functions {
			t.Errorf("only %d containers were started for %d functions", made, functions)
		}
		if len(text) >= 100_000 {
			t.Errorf("%s: 2,500 calls wrote %d bytes, want less than 100,000:\n%.2000s", format, len(text), text)
		}
		if !strings.Contains(text, "container started") {
			t.Errorf("%s: nothing says that containers were started:\n%.2000s", format, text)
		}
	}
}

// A traced function is followed call by call, at the default level, and no other one is.
func TestTrace(t *testing.T) {
	var out lines
	l, err := newLogs(&out, "scheduler", "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	drive(t, l, "f-1", 60, 3)
	text := out.String()
	for _, tt := range []struct {
		piece string
		want  int
	}{
		{`level=DEBUG msg="call arrived" role=scheduler function=f-1 `, 20},
		{`level=DEBUG msg="call has a container" role=scheduler function=f-1 `, 20},
		{`level=DEBUG msg="call returned its container" role=scheduler function=f-1 `, 20},
		{`function=f-0 request=`, 0},
		{`function=f-2 request=`, 0},
	} {
		if n := strings.Count(text, tt.piece); n != tt.want {
			t.Errorf("%q is there %d times, want %d:\n%.3000s", tt.piece, n, tt.want, text)
		}
	}
	if !strings.Contains(text, `msg="order given"`) || !strings.Contains(text, "order=start") || !strings.Contains(text, "cause=") {
		t.Errorf("no order with its cause is there:\n%.3000s", text)
	}
}

// What callers chose does not write lines of its own.
func TestLogsAreEscaped(t *testing.T) {
	var out lines
	l, err := newLogs(&out, "scheduler", "debug", "text")
	if err != nil {
		t.Fatal(err)
	}
	l.log.Debug("x", "function", "a\nlevel=ERROR msg=forged\x1b[31m")
	if text := out.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") {
		t.Errorf("logged %q, want one line that prints", text)
	}
	for range 100 {
		l.log.Warn("trouble", "node", "n-1")
	}
	if n := strings.Count(out.String(), "trouble"); n != 1 {
		t.Errorf("a line that repeats was written %d times within a moment, want once", n)
	}
}
