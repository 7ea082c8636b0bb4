package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/cluster/local"
	"github.com/forewarm/forewarm/gateway"
	"github.com/forewarm/forewarm/scheduler"
)

// clusterFlags are shared by manager and up.
type clusterFlags struct {
	nodes, cap int
	refill     time.Duration
	memory     int64 // MiB
}

func (f *clusterFlags) add(c *cobra.Command) {
	c.Flags().IntVar(&f.nodes, "nodes", 10, "nodes available at first")
	c.Flags().IntVar(&f.cap, "node-cap", 20, "nodes that there will ever be")
	c.Flags().DurationVar(&f.refill, "refill", 30*time.Second, "until a reservation makes a further node available, and a released one is usable again")
	c.Flags().Int64Var(&f.memory, "node-memory", 4096, "memory of a node, MiB; three quarters of it are sold")
}

// check refuses what would otherwise stand for a default, or come to light in a child's log.
func (f *clusterFlags) check() error {
	switch {
	case f.nodes < 1:
		return fmt.Errorf("--nodes %d: want at least 1", f.nodes)
	case f.cap < f.nodes:
		return fmt.Errorf("--node-cap %d: want at least --nodes, which is %d", f.cap, f.nodes)
	case f.refill <= 0:
		return fmt.Errorf("--refill %v: want a positive duration, such as 30s", f.refill)
	case f.memory < 1:
		return fmt.Errorf("--node-memory %d: want MiB, such as 4096", f.memory)
	}
	return nil
}

func (f *clusterFlags) args() []string {
	return []string{"--nodes", fmt.Sprint(f.nodes), "--node-cap", fmt.Sprint(f.cap), "--refill", f.refill.String(), "--node-memory", fmt.Sprint(f.memory)}
}

// load is functions, for children that are told of the samples by name.
func load(path string) (*catalog.Catalog, error) {
	if path == samples {
		path = ""
	}
	return functions(path)
}

func managerCommand() *cobra.Command {
	var f clusterFlags
	var l logFlags
	var listen, functionsFile string
	var port int
	c := &cobra.Command{
		Use:   "manager",
		Short: "Run a resource manager whose nodes are processes on this machine",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			log, err := l.logger("manager")
			if err != nil {
				return err
			}
			functions, err := load(functionsFile)
			if err != nil {
				return err
			}
			m, err := local.NewManager(local.ManagerOptions{
				Available: f.nodes, Cap: f.cap, Refill: f.refill, Logger: log,
				Node: local.NodeOptions{Functions: functions.Functions, Memory: f.memory * cluster.MiB, Logger: log, Base: base(functionsFile)},
			})
			if err != nil {
				return err
			}
			listener, err := net.Listen("tcp", hostPort(listen, port))
			if err != nil {
				return fmt.Errorf("manager: %w; choose another with --port", err)
			}
			follow(c.Context(), functionsFile, log, func(c *catalog.Catalog) error { return m.SetFunctions(c.Functions) })
			return m.Serve(c.Context(), listener)
		},
	}
	f.add(c)
	l.add(c)
	c.Flags().StringVar(&listen, "listen", "127.0.0.1", "address to listen on")
	c.Flags().IntVar(&port, "port", 10400, "of the contract's ResourceManager")
	c.Flags().StringVar(&functionsFile, "functions", "", "functions.yaml with what containers may run; without it, the built-in samples")
	return c
}

func nodeCommand() *cobra.Command {
	var l logFlags
	var listen, functionsFile, id string
	var memory int64
	c := &cobra.Command{
		Use:   "node",
		Short: "Run one node alone, for a manager of your own",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := l.logger("node")
			if err != nil {
				return err
			}
			functions, err := load(functionsFile)
			if err != nil {
				return err
			}
			return local.RunNode(c.Context(), local.NodeOptions{ID: id, Listen: listen, Memory: memory * cluster.MiB,
				Functions: functions.Functions, Base: base(functionsFile), Logger: log})
		},
	}
	l.add(c)
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "host:port of the contract's NodeService; port 0 takes a free one and logs it")
	c.Flags().StringVar(&functionsFile, "functions", "", "functions.yaml with what containers may run; without it, the built-in samples")
	c.Flags().StringVar(&id, "id", "node-1", "what the node is called")
	c.Flags().Int64Var(&memory, "memory", 4096, "memory of the node, MiB")
	return c
}

func gatewayCommand() *cobra.Command {
	var l logFlags
	var listen, schedulerAddr, functionsFile string
	var httpPort, port int
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run the API server: functions over HTTP and over the contract's gRPC",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := l.logger("gateway")
			if err != nil {
				return err
			}
			functions, err := load(functionsFile)
			if err != nil {
				return err
			}
			g, err := gateway.New(gateway.Options{Scheduler: schedulerAddr, Catalog: functions, Log: log})
			if err != nil {
				return err
			}
			follow(c.Context(), functionsFile, log, g.SetCatalog)
			log.Info("gateway serves", "http", hostPort(listen, httpPort), "contract", hostPort(listen, port))
			return runGateway(c.Context(), g, hostPort(listen, httpPort), hostPort(listen, port))
		},
	}
	l.add(c)
	c.Flags().StringVar(&listen, "listen", "127.0.0.1", "address to listen on")
	c.Flags().IntVar(&httpPort, "http-port", 8080, "of HTTP: /function/NAME")
	c.Flags().IntVar(&port, "port", 10500, "of the contract's APIServer")
	c.Flags().StringVar(&schedulerAddr, "scheduler", "127.0.0.1:10600", "host:port of the scheduler")
	c.Flags().StringVar(&functionsFile, "functions", "", "functions.yaml with what may be called; without it, the built-in samples")
	return c
}

// finishCalls is how long running calls get when the gateway stops.
const finishCalls = 30 * time.Second

// streamsUntil ends streams with ctx. On the contract's port they are watches of the health and reflection, which
// would not end by themselves and keep the server from stopping; a call of a function is no stream there.
func streamsUntil(ctx context.Context) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		done := make(chan error, 1)
		go func() { done <- handle(srv, stream) }()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return status.Error(codes.Unavailable, "the gateway is stopping") // which ends the handler's stream, too
		}
	}
}

// runGateway serves both ports until ctx ends; calls that run are finished first.
func runGateway(ctx context.Context, g *gateway.Server, httpAddr, contractAddr string) error {
	web, err := net.Listen("tcp", httpAddr)
	if err != nil {
		return fmt.Errorf("gateway: its HTTP port: %w; choose another with --http-port", err)
	}
	contract, err := net.Listen("tcp", contractAddr)
	if err != nil {
		web.Close()
		return fmt.Errorf("gateway: its contract port: %w; choose another with --port", err)
	}
	hs := &http.Server{Handler: g.HTTP(), ReadHeaderTimeout: 10 * time.Second}
	gs := grpc.NewServer(append(g.ServerOptions(), grpc.StreamInterceptor(streamsUntil(ctx)))...)
	g.Register(gs)
	healthv1.RegisterHealthServer(gs, health.NewServer())
	reflection.Register(gs)
	failed := make(chan error, 2)
	go func() { failed <- hs.Serve(web) }()
	go func() { failed <- gs.Serve(contract) }()
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	if errors.Is(context.Cause(ctx), scheduler.ErrOrphaned) {
		return err // there is nobody to finish calls for, nor to return containers to
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishCalls)
	defer cancel()
	defer context.AfterFunc(finish, gs.Stop)()
	if e := hs.Shutdown(finish); e != nil {
		err = errors.Join(err, fmt.Errorf("gateway: calls still ran after %v: %w", finishCalls, e))
	}
	gs.GracefulStop()
	g.Close()
	return err
}
