package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/edge"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

func calendarCommand() *cobra.Command {
	var admin adminFlags
	r := &forewarmv1.CalendarRequest{}
	c := &cobra.Command{
		Use:   "calendar [FUNCTION]",
		Short: "List the next windows of functions' calendars",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Function = args[0]
			}
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewControlClient(conn).Calendar(ctx, r)
				if err != nil {
					return err
				}
				return printCalendar(c.OutOrStdout(), reply)
			})
		},
	}
	admin.add(c)
	c.Flags().Uint32Var(&r.Limit, "limit", 10, "windows of each function")
	return c
}

func printCalendar(out io.Writer, r *forewarmv1.CalendarReply) error {
	if len(r.Windows) == 0 {
		_, err := fmt.Fprintln(out, "No calendar has a window to come.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FROM\tTO\tFUNCTION\tACCOUNT\tMIN\tMAX\tCRON\tZONE")
	for _, o := range r.Windows {
		zone, err := time.LoadLocation(o.Zone) // as the window's owner wrote it
		if err != nil {
			zone = time.UTC
		}
		at := func(t time.Time) string { return t.In(zone).Format("Mon 2006-01-02 15:04 -0700") }
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", at(o.Start.AsTime()), at(o.End.AsTime()), edge.Escape(o.Function), orDash(o.Account), o.Min,
			orNone(o.Max), edge.Escape(o.Cron), edge.Escape(o.Zone))
	}
	return w.Flush()
}

// orDash stands for an empty cell of a table.
func orDash(name string) string {
	if name == "" {
		return "-"
	}
	return edge.Escape(name)
}

func orNone(bound int32) string {
	if bound == 0 {
		return "-"
	}
	return fmt.Sprint(bound)
}

func costsCommand() *cobra.Command {
	var admin adminFlags
	r := &forewarmv1.CostsRequest{}
	c := &cobra.Command{
		Use:   "costs [FUNCTION]",
		Short: "Say what was spent, and what keep-alive would have spent",
		Long: `Say what was spent since the books began, on idle containers, starts and cold calls, and what keep-alive would have spent on
the same calls: a container stays for kappa and a start after its last use.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Function = args[0]
			}
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewControlClient(conn).Costs(ctx, r)
				if err != nil {
					return err
				}
				return printCosts(c.OutOrStdout(), reply)
			})
		},
	}
	admin.add(c)
	return c
}

func printCosts(out io.Writer, r *forewarmv1.CostsReply) error {
	fmt.Fprintf(out, "In %s:\n", shown(r.Unit))
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FUNCTION\tACCOUNT\tIDLE\tSTARTS\tCOLD\tTOTAL\tKEEP-ALIVE\tSAVED\tKAPPA\t")
	for _, k := range r.Costs {
		name, account, kappa, note := edge.Escape(k.Function), orDash(k.Account), "-", ""
		if k.Function == "" {
			name = "(all)"
		}
		if k.Kappa != nil {
			kappa = console.Duration(k.Kappa.AsDuration())
		}
		if k.FallenBack {
			note = "forecasts lost: keep-alive decides for now"
		}
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%s\t%s\t%s\n", name, account, k.Idle, k.Starts, k.Colds, k.Total, k.Reactive, saved(k), kappa, note)
	}
	return w.Flush()
}

// saved is the share of the keep-alive's cost that was not spent.
func saved(k *forewarmv1.Cost) string {
	if k.Reactive == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*(1-k.Total/k.Reactive))
}

func auditCommand() *cobra.Command {
	var admin adminFlags
	r := &forewarmv1.AuditRequest{}
	c := &cobra.Command{
		Use:   "audit",
		Short: "List who changed what, newest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewControlClient(conn).Audit(ctx, r)
				if err == nil {
					printAudit(c.OutOrStdout(), reply)
				}
				return err
			})
		},
	}
	admin.add(c)
	c.Flags().Uint32Var(&r.Limit, "limit", 100, "changes to show, at most 1000")
	return c
}

func printAudit(w io.Writer, r *forewarmv1.AuditReply) {
	if len(r.Entries) == 0 {
		fmt.Fprintln(w, "Nothing was changed so far.")
	}
	for _, e := range r.Entries {
		before := ""
		if e.Before != "" {
			before = shown(e.Before) + " -> "
		}
		fmt.Fprintf(w, "%s  %s: %s%s  (%s)\n", e.At.AsTime().Local().Format("2006-01-02 15:04:05"), shown(e.What), before, shown(e.After), shown(e.Who))
	}
}

// showRunning prints the settings of a running scheduler.
func showRunning(c *cobra.Command, admin *adminFlags) error {
	return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
		reply, err := forewarmv1.NewControlClient(conn).Config(ctx, &forewarmv1.ConfigRequest{})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "SETTING\tORIGIN\tVALUE")
		for _, s := range reply.Settings {
			value := shown(s.Value)
			if value == "" {
				value = "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", shown(s.Name), shown(s.Origin), value)
		}
		return w.Flush()
	})
}
