package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/forewarm/forewarm/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var verbose bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch forecasts against keep-alive, on real processes",
		Long: `Two embedded clusters of real processes get the same calls at the same time. One starts containers ahead of the
next call, by the laws of each function's idle gaps; the other keeps them for kappa plus a start after their last use,
which is the best rule that does not learn. All else is the same. The first part is for learning and is not scored.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Out = os.Stdout
			if verbose {
				o.Plain = true
				o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			}
			o.Plain = o.Plain || !isatty.IsTerminal(os.Stdout.Fd())
			return demo.Run(c.Context(), o)
		},
	}
	c.Flags().DurationVar(&o.For, "for", 45*time.Second, "how long the load lasts")
	c.Flags().DurationVar(&o.Learn, "learn", 20*time.Second, "at its beginning, not scored")
	c.Flags().StringVar(&o.JSON, "json", "", "file for the figures")
	c.Flags().BoolVar(&o.Plain, "plain", false, "lines instead of a live table")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "of the load")
	c.Flags().BoolVar(&verbose, "verbose", false, "log what both sides do, to standard error")
	return c
}
