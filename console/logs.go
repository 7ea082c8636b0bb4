package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// Logs passes on what containers print, from every node that the scheduler holds. Shell is set before the first
// call. Only our own nodes keep what their containers print; others are named as not doing so.
type Logs struct {
	forewarmv1.UnimplementedLogsServer
	Shell shell
}

// Register serves l on g.
func (l *Logs) Register(g *grpc.Server) { forewarmv1.RegisterLogsServer(g, l) }

// Tail merges the nodes' lines as they come.
func (l *Logs) Tail(r *forewarmv1.TailRequest, out grpc.ServerStreamingServer[forewarmv1.LogLine]) error {
	nodes := l.Shell.Core().Cluster(l.Shell.Now()).Nodes
	if len(nodes) == 0 {
		return status.Error(codes.FailedPrecondition, "no node is held at the moment, and containers' output goes with their nodes")
	}
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	lines := make(chan *forewarmv1.LogLine)
	errs := make(chan error, len(nodes))
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			if err := tail(ctx, &n.Node, r, lines); err != nil && ctx.Err() == nil {
				errs <- fmt.Errorf("node %s: %w", n.Node.ID, err)
			}
		})
	}
	go func() { wg.Wait(); close(lines) }()
	for line := range lines {
		if err := out.Send(line); err != nil {
			return err
		}
	}
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	if len(all) > 0 {
		return status.Error(codes.Unavailable, errors.Join(all...).Error())
	}
	return nil
}

// tail reads one node's lines.
func tail(ctx context.Context, n *cluster.Node, r *forewarmv1.TailRequest, lines chan<- *forewarmv1.LogLine) error {
	conn, err := grpc.NewClient(net.JoinHostPort(n.Address, strconv.FormatInt(n.Port, 10)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := forewarmv1.NewLogsClient(conn).Tail(ctx, r)
	for err == nil {
		var line *forewarmv1.LogLine
		if line, err = stream.Recv(); err == nil {
			select {
			case lines <- line:
			case <-ctx.Done():
				return nil
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if status.Code(err) == codes.Unimplemented {
		return errors.New("it does not keep what its containers print")
	}
	return err
}
