// Command forewarm hands out warm containers in microseconds, and starts the next ones before they are asked for.
//
// This package only parses flags and puts parts together.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/forewarm/forewarm/cluster/local"
	"github.com/forewarm/forewarm/scheduler"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if code, ok := local.RunRole(ctx, os.Args[1:]); ok { // containers, nodes and their watchdogs are this program, too
		os.Exit(code)
	}
	if err := root().ExecuteContext(tied(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "forewarm:", err)
		os.Exit(1)
	}
}

// tied is local.Tied with a cause that tells a starter's death from a signal: after it nobody is there to finish
// anything for.
func tied(ctx context.Context) context.Context {
	tie := local.Tied(ctx)
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(tie, func() {
		if ctx.Err() == nil {
			cancel(scheduler.ErrOrphaned)
			return
		}
		cancel(context.Cause(ctx))
	})
	return out
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "forewarm",
		Short: "Warm containers in microseconds, started before they are asked for",
		Long: `forewarm dispatches calls of serverless functions to warm containers, learns when each function will be
called next, and starts its containers just ahead of that.

  forewarm demo     watch it against the best rule that does not learn, on real processes
  forewarm up       run the whole platform on this machine
  forewarm serve    run the scheduler alone, in front of your own resource manager`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.AddCommand(demoCommand(), upCommand(), serveCommand(), configCommand(), managerCommand(), nodeCommand(), gatewayCommand(), applyCommand(),
		invokeCommand(), logsCommand(), explainCommand(), forecastsCommand(), decisionsCommand(), versionCommand(),
		modeCommand(), limitCommand(), pinCommand(), pauseCommand(), resumeCommand(), accountCommand(), drainCommand(),
		calendarCommand(), costsCommand(), auditCommand())
	return c
}
