package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster/minifaas"
	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/scheduler"
)

// schedulerFlags are shared by serve and up.
type schedulerFlags struct {
	policy   string
	kappa    time.Duration
	maxNodes int
	state    string
	admin    string
	drain    time.Duration
	maxWait  time.Duration
	maxLine  int
}

func (f *schedulerFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.policy, "policy", "gap", "what decides how many containers to hold: gap, reactive, ewma, holt or pgmix")
	c.Flags().DurationVar(&f.kappa, "kappa", time.Minute, "what a cold start is worth, in idle time of the function's container")
	c.Flags().IntVar(&f.maxNodes, "max-nodes", 20, "nodes held at most")
	c.Flags().StringVar(&f.state, "state", "", "file in which what was learnt survives a restart")
	c.Flags().StringVar(&f.admin, "admin", "127.0.0.1:10700", "host:port of metrics, health and forewarm.v1")
	c.Flags().DurationVar(&f.drain, "drain", 30*time.Second, "that running calls get when the scheduler stops")
	c.Flags().DurationVar(&f.maxWait, "max-wait", 30*time.Second, "of a call without a deadline of its own")
	c.Flags().IntVar(&f.maxLine, "max-line", 10_000, "calls of one function that may wait")
}

// check refuses what would otherwise stand for a default, or come to light in a child's log.
func (f *schedulerFlags) check() error {
	if _, err := prewarm.ParsePolicy(f.policy); err != nil {
		return fmt.Errorf("--policy: %w", err)
	}
	for name, d := range map[string]time.Duration{"kappa": f.kappa, "drain": f.drain, "max-wait": f.maxWait} {
		if d <= 0 {
			return fmt.Errorf("--%s %v: want a positive duration, such as 30s", name, d)
		}
	}
	for name, n := range map[string]int{"max-nodes": f.maxNodes, "max-line": f.maxLine} {
		if n < 1 {
			return fmt.Errorf("--%s %d: want at least 1", name, n)
		}
	}
	return nil
}

// args repeats the flags for a child process.
func (f *schedulerFlags) args() []string {
	return []string{"--policy", f.policy, "--kappa", f.kappa.String(), "--max-nodes", fmt.Sprint(f.maxNodes), "--state", f.state,
		"--admin", f.admin, "--drain", f.drain.String(), "--max-wait", f.maxWait.String(), "--max-line", fmt.Sprint(f.maxLine)}
}

func serveCommand() *cobra.Command {
	var f schedulerFlags
	var l logFlags
	var listen, manager, functionsFile string
	var port int
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the scheduler alone, in front of a resource manager that speaks the contract",
		Long: `Run the scheduler alone. It takes its nodes from the resource manager at --manager, or RESOURCE_MANAGER_ENDPOINT,
and listens on SERVICE_PORT, or 10600. The manager may come up later, go away, and come back.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if manager == "" {
				manager = os.Getenv("RESOURCE_MANAGER_ENDPOINT")
			}
			if manager == "" {
				return fmt.Errorf("no resource manager: give --manager host:port, or RESOURCE_MANAGER_ENDPOINT in the environment")
			}
			if !c.Flags().Changed("port") {
				var err error
				if port, err = envPort("SERVICE_PORT", port); err != nil {
					return err
				}
			}
			log, err := l.logger("scheduler")
			if err != nil {
				return err
			}
			if host := os.Getenv("HOST_NAME"); host != "" {
				log = log.With("host", host)
			}
			policy, err := prewarm.ParsePolicy(f.policy)
			if err != nil {
				return fmt.Errorf("--policy: %w", err)
			}
			concurrency, err := concurrencyOf(functionsFile)
			if err != nil {
				return err
			}
			driver, err := minifaas.New(minifaas.Options{Manager: manager})
			if err != nil {
				return err
			}
			defer driver.Close()
			var logs console.Logs
			s, err := scheduler.New(scheduler.Options{
				Listen: hostPort(listen, port), Admin: f.admin, State: f.state, Drain: f.drain, Version: versionString(), Log: log,
				Shell: serve.Options{Driver: driver, Concurrency: concurrency,
					Core: dispatcher.Options{MaxNodes: f.maxNodes, MaxWait: f.maxWait, MaxLine: f.maxLine}},
				Planner: prewarm.Options{Policy: policy, Kappa: f.kappa},
				Extra:   func(g *grpc.Server) { logs.Register(g) },
			})
			if err != nil {
				return err
			}
			logs.Shell = s.Shell
			log.Info("nodes come from a resource manager", "manager", manager)
			return s.Run(c.Context())
		},
	}
	f.add(c)
	l.add(c)
	c.Flags().StringVar(&listen, "listen", "127.0.0.1", "address to listen on")
	c.Flags().IntVar(&port, "port", 10600, "of the contract's Scheduler; SERVICE_PORT where it is not given")
	c.Flags().StringVar(&manager, "manager", "", "host:port of the resource manager; RESOURCE_MANAGER_ENDPOINT where it is not given")
	c.Flags().StringVar(&functionsFile, "functions", "", "functions.yaml that says how many requests share a container; without it, as many as measurements allow")
	return c
}

// concurrencyOf says how many requests one container of a function may hold: as its catalog says, one where that
// is silent, and without a catalog as many as measurements allow.
func concurrencyOf(path string) (func(account, function string) int, error) {
	if path == "" {
		return nil, nil
	}
	if path == samples {
		return concurrency(catalog.Samples()), nil
	}
	c, err := catalog.Load(path)
	if err != nil {
		return nil, err
	}
	return concurrency(c), nil
}

func concurrency(c *catalog.Catalog) func(account, function string) int {
	m := map[string]int{}
	for _, f := range c.Functions {
		m[f.Name] = f.Concurrency
	}
	return func(_, function string) int {
		if n, ok := m[function]; ok {
			return n
		}
		return 1
	}
}

// samples names the built-in functions where a file is expected.
const samples = "(samples)"
