package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/edge"
	"github.com/forewarm/forewarm/prewarm"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

func modeCommand() *cobra.Command {
	var admin adminFlags
	c := &cobra.Command{
		Use:   "mode [on|shadow|off]",
		Short: "Show or switch what forecasts may do",
		Long: `Show or switch what forecasts may do. on: they decide. shadow: keep-alive decides, and what they would have done is
recorded beside it. off: keep-alive decides, and nothing is forecast. Bounds of functions hold in every mode.`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []string{"on", "shadow", "off"},
		RunE: func(c *cobra.Command, args []string) error {
			r := &forewarmv1.SetModeRequest{}
			if len(args) > 0 {
				r.Mode = args[0]
			}
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewControlClient(conn).SetMode(ctx, r)
				switch {
				case err != nil:
					return err
				case r.Mode == "":
					fmt.Fprintf(c.OutOrStdout(), "The mode is %s.\n", shown(reply.After))
				default:
					fmt.Fprintf(c.OutOrStdout(), "The mode was %s and is %s.\n", shown(reply.Before), shown(reply.After))
				}
				return nil
			})
		},
	}
	admin.add(c)
	return c
}

// functionFlags are those of commands that change one function.
type functionFlags struct {
	admin   adminFlags
	account string
}

func (f *functionFlags) add(c *cobra.Command) {
	f.admin.add(c)
	c.Flags().StringVar(&f.account, "account", "", "whose function; may be left out where only one account has it")
}

func (f *functionFlags) set(c *cobra.Command, function string, l *forewarmv1.Levers) error {
	return f.admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
		reply, err := forewarmv1.NewControlClient(conn).SetFunction(ctx, &forewarmv1.SetFunctionRequest{Account: f.account, Function: function, Levers: l})
		if err == nil {
			fmt.Fprintf(c.OutOrStdout(), "%s: %s -> %s\n", edge.Escape(function), leverWords(reply.Before), leverWords(reply.After))
		}
		return err
	})
}

func leverWords(l *forewarmv1.Levers) string {
	return console.LeversWords(dispatcher.Limits{Containers: int(l.GetMaxContainers()), Waiting: int(l.GetMaxWaiting()), Paused: l.GetPause()},
		prewarm.Bounds{Min: int(l.GetMin()), Max: int(l.GetMax())})
}

// given is a flag's value if it was given.
func given(c *cobra.Command, flag string, value *int32) *int32 {
	if c.Flags().Changed(flag) {
		return value
	}
	return nil
}

func limitCommand() *cobra.Command {
	var f functionFlags
	var least, most, containers, waiting int32
	c := &cobra.Command{
		Use:   "limit FUNCTION",
		Short: "Bound what a function is held ready and may have",
		Long: `Bound what a function is held ready and may have. Bounds that are not given stay as they are, and 0 lifts one. They last
until the configuration says something else about the function, or the scheduler ends.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l := &forewarmv1.Levers{Min: given(c, "min", &least), Max: given(c, "max", &most),
				MaxContainers: given(c, "max-containers", &containers), MaxWaiting: given(c, "max-waiting", &waiting)}
			return f.set(c, args[0], l)
		},
	}
	c.Flags().Int32Var(&least, "min", 0, "containers held ready at least")
	c.Flags().Int32Var(&most, "max", 0, "containers held ready at most, whatever is forecast")
	c.Flags().Int32Var(&containers, "max-containers", 0, "containers at most, for whatever reason they are started")
	c.Flags().Int32Var(&waiting, "max-waiting", 0, "calls that may wait")
	f.add(c)
	return c
}

func pauseCommand() *cobra.Command {
	return pausing("pause FUNCTION", "Have a function take no calls and hold nothing", true)
}

func resumeCommand() *cobra.Command {
	return pausing("resume FUNCTION", "Have a paused function take calls again", false)
}

func pausing(use, short string, pause bool) *cobra.Command {
	var f functionFlags
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		return f.set(c, args[0], &forewarmv1.Levers{Pause: &pause})
	}}
	f.add(c)
	return c
}

func pinCommand() *cobra.Command {
	var f functionFlags
	c := &cobra.Command{
		Use:   "pin FUNCTION N",
		Short: "Hold N containers of a function ready, no more and no fewer",
		Long:  `Hold N containers of a function ready, no more and no fewer; calls that wait may have more started. 0 lets go of it.`,
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || n < 0 {
				return fmt.Errorf("%q: want how many containers to hold, such as 2", args[1])
			}
			v := int32(n)
			return f.set(c, args[0], &forewarmv1.Levers{Min: &v, Max: &v})
		},
	}
	f.add(c)
	return c
}

func accountCommand() *cobra.Command {
	var admin adminFlags
	var containers, waiting int32
	var share float64
	c := &cobra.Command{
		Use:   "account NAME",
		Short: "Bound all functions of an account together",
		Long: `Bound all functions of an account together. Bounds that are not given stay as they are, and 0 lifts one. They last until
the configuration says something else about the account, or the scheduler ends.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l := &forewarmv1.Limits{MaxContainers: given(c, "max-containers", &containers), MaxWaiting: given(c, "max-waiting", &waiting)}
			if c.Flags().Changed("memory-share") {
				l.MemoryShare = &share
			}
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewControlClient(conn).SetAccount(ctx, &forewarmv1.SetAccountRequest{Account: args[0], Limits: l})
				if err == nil {
					fmt.Fprintf(c.OutOrStdout(), "account %s: %s -> %s\n", edge.Escape(args[0]), limitWords(reply.Before), limitWords(reply.After))
				}
				return err
			})
		},
	}
	c.Flags().Int32Var(&containers, "max-containers", 0, "containers at most")
	c.Flags().Int32Var(&waiting, "max-waiting", 0, "calls that may wait")
	c.Flags().Float64Var(&share, "memory-share", 0, "of the memory that all nodes sell, such as 0.25")
	admin.add(c)
	return c
}

func limitWords(l *forewarmv1.Limits) string {
	return console.LimitsWords(dispatcher.AccountLimits{Containers: int(l.GetMaxContainers()), Waiting: int(l.GetMaxWaiting()), MemoryShare: l.GetMemoryShare()})
}

func drainCommand() *cobra.Command {
	var admin adminFlags
	r := &forewarmv1.DrainNodeRequest{}
	c := &cobra.Command{
		Use:   "drain NODE",
		Short: "Take a node out of use: calls on it finish, then it is given back",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.Node = args[0]
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewControlClient(conn).DrainNode(ctx, r)
				switch {
				case err != nil:
					return err
				case r.Undo:
					fmt.Fprintf(c.OutOrStdout(), "%s is in use again; it holds %d containers.\n", edge.Escape(r.Node), reply.Containers)
				default:
					fmt.Fprintf(c.OutOrStdout(), "%s drains; it still holds %d containers.\n", edge.Escape(r.Node), reply.Containers)
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&r.Undo, "undo", false, "take it into use again")
	admin.add(c)
	return c
}
