package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster/minifaas"
	"github.com/forewarm/forewarm/config"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/edge"
	"github.com/forewarm/forewarm/metrics"
	"github.com/forewarm/forewarm/prewarm"
	"github.com/forewarm/forewarm/scheduler"
)

func serveCommand() *cobra.Command {
	var takeover bool
	set := &config.Set{Require: []string{"manager"}}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the scheduler alone, in front of a resource manager that speaks the contract",
		Long: `Run the scheduler alone. It takes its nodes from the resource manager at --manager, or RESOURCE_MANAGER_ENDPOINT,
and listens on SERVICE_PORT, or 10600. The manager may come up later, go away, and come back.

Settings come from flags, else from the environment, else from a file of settings; "forewarm config show" tells where
each came from.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := set.Load()
			if err != nil {
				return err
			}
			return runServe(c.Context(), set, cfg, takeover)
		},
	}
	set.AddFlags(c.Flags())
	c.Flags().BoolVar(&takeover, "takeover", false, "replace a scheduler that runs on the same ports and state file, without a refused call")
	return c
}

func runServe(ctx context.Context, set *config.Set, cfg *config.Config, takeover bool) error {
	l, err := newLogs(os.Stderr, "scheduler", cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	if cfg.HostName != "" {
		l.with("host", cfg.HostName)
	}
	log := l.log
	driver, err := minifaas.New(minifaas.Options{Manager: cfg.Manager})
	if err != nil {
		return err
	}
	defer driver.Close()
	o, err := schedulerOptions(cfg, driver, log)
	if err != nil {
		return err
	}
	o.TraceFunction, o.Shell.TraceLog = cfg.Log.DebugFunction, l.trace
	o.Takeover = takeover
	shared := &sharings{first: o.Shell.Concurrency, cfg: cfg}
	o.Shell.Concurrency = shared.of
	s, err := scheduler.New(o)
	if err != nil {
		return err
	}
	followCatalog(ctx, cfg, shared, s, log)
	log.Info("nodes come from a resource manager", "manager", cfg.Manager)
	watch(ctx, set, cfg, s, l)
	return s.Run(ctx)
}

// watch follows the configuration's file and applies what changes.
func watch(ctx context.Context, set *config.Set, cfg *config.Config, s *scheduler.Scheduler, l *logs) {
	log := l.log
	w := config.NewWatcher(set, cfg)
	w.Report = func(changes []config.Change, err error) {
		switch {
		case err != nil:
			log.Error("the changed configuration was not applied; the old one stays in force", "error", err)
		case len(changes) > 0:
			log.Info("configuration changed", "changes", fmt.Sprint(changes))
		}
		var text string
		if len(changes) > 0 {
			text = fmt.Sprint(changes)
		}
		s.Reloaded(text, err)
	}
	go func() {
		again := func(_, cfg *config.Config, _ []string) error {
			return errors.Join(l.setLevel(cfg.Log.Level), apply(cfg, s))
		}
		if err := w.Run(ctx, again); err != nil {
			log.Error("the configuration's file is not followed any more", "error", err)
		}
	}()
	if err := apply(cfg, s); err != nil {
		log.Error("bounds of functions were not applied", "error", err)
	}
}

// schedulerOptions turns the configuration into what the scheduler takes.
func schedulerOptions(cfg *config.Config, driver serve.Driver, log *slog.Logger) (o scheduler.Options, err error) {
	policy, err := prewarm.ParsePolicy(cfg.Planner.Policy)
	if err != nil {
		return o, err
	}
	mode, err := prewarm.ParseMode(string(cfg.Planner.Mode))
	if err != nil {
		return o, err
	}
	concurrency, core, err := sharing(cfg)
	if err != nil {
		return o, err
	}
	core.MaxNodes, core.MaxWait, core.MaxLine, core.Grace = cfg.Dispatcher.MaxNodes, cfg.Dispatcher.MaxWait, cfg.Dispatcher.MaxLine, cfg.Dispatcher.Grace
	o = scheduler.Options{
		Listen: cfg.Listen.HostPort(), Admin: cfg.Admin, AllowPlaintext: cfg.AllowPlaintext,
		TLS:      edge.TLSFiles{Cert: cfg.TLS.Contract.Cert, Key: cfg.TLS.Contract.Key, ClientCA: cfg.TLS.Contract.ClientCA},
		AdminTLS: edge.TLSFiles{Cert: cfg.TLS.Admin.Cert, Key: cfg.TLS.Admin.Key, ClientCA: cfg.TLS.Admin.ClientCA},
		Tokens:   edge.TokenFiles{Read: files(cfg.Tokens.ReadFile), Write: files(cfg.Tokens.WriteFile)},
		State:    cfg.State.File, History: cfg.State.History, Drain: cfg.Dispatcher.Drain, Version: versionString(), Log: log, Series: cfg.Metrics.Series,
		Push:  metrics.PushOptions{URL: cfg.Metrics.PushURL, Every: cfg.Metrics.PushEvery},
		Shell: serve.Options{Driver: driver, Concurrency: concurrency, Core: core},
		Planner: prewarm.Options{Policy: policy, Mode: mode, Kappa: cfg.Planner.Kappa, RoundMin: cfg.Planner.Rounds.Min, RoundMax: cfg.Planner.Rounds.Max,
			Prices: prewarm.Prices(cfg.Planner.Prices), TargetCold: cfg.Planner.TargetCold},
	}
	return o, nil
}

func files(path string) []string {
	if path == "" {
		return nil
	}
	return []string{path}
}

// sharing says how many requests one container of a function may hold: as the configuration says, else as the
// catalog does, one where that is silent. Without a catalog it is a cluster of the contract: then as many as
// measurements allow, and the price is that of nodes.
func sharing(cfg *config.Config) (of func(account, function string) int, core dispatcher.Options, err error) {
	def := 1
	m := map[string]int{}
	switch cfg.Catalog {
	case "":
		def, core = 0, dispatcher.PricedByNode()
	case samples:
		concurrency(m, catalog.Samples())
	default:
		c, err := catalog.Load(cfg.Catalog)
		if err != nil {
			return nil, core, err
		}
		concurrency(m, c)
	}
	for name, f := range cfg.Functions {
		switch f.Concurrency {
		case 0: // not given
		case config.Auto:
			m[name] = 0
		default:
			m[name] = f.Concurrency
		}
	}
	return func(_, function string) int {
		if n, ok := m[function]; ok {
			return n
		}
		return def
	}, core, nil
}

func concurrency(m map[string]int, c *catalog.Catalog) {
	for _, f := range c.Functions {
		m[f.Name] = f.Concurrency
	}
}

// apply brings what may change while the scheduler runs into force.
func apply(cfg *config.Config, s *scheduler.Scheduler) error {
	levers := map[string]scheduler.Levers{}
	for name, f := range cfg.Functions {
		l := scheduler.Levers{Limits: dispatcher.Limits{Containers: f.MaxContainers, Waiting: f.MaxWaiting, Paused: f.Pause},
			Bounds: prewarm.Bounds{Min: f.Min, Max: f.Max, Paused: f.Pause}}
		for _, w := range f.Calendar {
			l.Bounds.Calendar = append(l.Bounds.Calendar, calendar.Window(w))
		}
		levers[name] = l
	}
	accounts := map[string]dispatcher.AccountLimits{}
	for name, a := range cfg.Accounts {
		accounts[name] = dispatcher.AccountLimits{Containers: a.MaxContainers, Waiting: a.MaxWaiting, MemoryShare: a.MemoryShare}
	}
	mode, err := prewarm.ParseMode(string(cfg.Planner.Mode))
	if err != nil {
		return err
	}
	if err := s.Apply(scheduler.Config{Mode: mode, Functions: levers, Accounts: accounts}); err != nil {
		return err
	}
	s.Configured(cfg)
	return nil
}

// samples names the built-in functions where a file is expected.
const samples = "(samples)"

// configCommand checks and shows the configuration of serve.
func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check the scheduler's configuration, or show where each setting comes from"}
	check, show := &config.Set{}, &config.Set{}
	checking := &cobra.Command{Use: "check", Short: "Load the configuration as serve would, and say what is wrong with it", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := check.Load(); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "the configuration is sound")
			return nil
		}}
	var admin adminFlags
	var running bool
	showing := &cobra.Command{Use: "show", Short: "Show every setting with its origin", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if running {
				admin.addr = c.Flags().Lookup("admin").Value.String()
				return showRunning(c, &admin)
			}
			cfg, err := show.Load()
			if err != nil {
				return err
			}
			return cfg.Show(c.OutOrStdout())
		}}
	check.AddFlags(checking.Flags())
	show.AddFlags(showing.Flags())
	admin.addCredentials(showing)
	showing.Flags().BoolVar(&running, "running", false, "ask the scheduler that runs at --admin, whose settings may have changed since it started")
	c.AddCommand(checking, showing)
	return c
}
