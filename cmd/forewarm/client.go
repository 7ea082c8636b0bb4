package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/edge"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

func explainCommand() *cobra.Command {
	var admin adminFlags
	var account string
	var limit uint32
	c := &cobra.Command{
		Use:   "explain [FUNCTION]",
		Short: "Say in words how functions stand and why their containers were started and stopped",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r := &forewarmv1.ExplainRequest{Limit: limit, Account: account}
			if len(args) > 0 {
				r.Function = args[0]
			}
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewForewarmClient(conn).Explain(ctx, r)
				if err == nil {
					printExplain(c.OutOrStdout(), reply)
				}
				return err
			})
		},
	}
	admin.add(c)
	c.Flags().Uint32Var(&limit, "limit", 10, "decisions to show")
	c.Flags().StringVar(&account, "account", "", "only of this account")
	return c
}

func printExplain(w io.Writer, r *forewarmv1.ExplainReply) {
	if len(r.Functions) == 0 {
		fmt.Fprintln(w, "No function was called yet.")
	}
	for _, f := range r.Functions {
		fmt.Fprintln(w, shown(f.Text)+".")
		if f.LastReason != "" {
			fmt.Fprintln(w, "  "+shown(f.LastReason))
		}
	}
	if len(r.Decisions) > 0 {
		fmt.Fprintln(w, "\nLast decisions, newest first:")
	}
	for _, d := range r.Decisions {
		printDecision(w, d)
	}
}

func printDecision(w io.Writer, d *forewarmv1.Decision) {
	fmt.Fprintf(w, "%s  %s.\n", d.At.AsTime().Local().Format("15:04:05.000"), shown(d.Text))
}

func decisionsCommand() *cobra.Command {
	var admin adminFlags
	r := &forewarmv1.DecisionsRequest{}
	c := &cobra.Command{
		Use:   "decisions [FUNCTION]",
		Short: "List the orders that were given, with their reasons, or follow them",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Function = args[0]
			}
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				stream, err := forewarmv1.NewForewarmClient(conn).Decisions(ctx, r)
				for err == nil {
					var d *forewarmv1.Decision
					if d, err = stream.Recv(); err == nil {
						printDecision(c.OutOrStdout(), d)
					}
				}
				if errors.Is(err, io.EOF) || c.Context().Err() != nil {
					return nil
				}
				return err
			})
		},
	}
	admin.add(c)
	c.Flags().BoolVarP(&r.Follow, "follow", "f", false, "go on as they come")
	c.Flags().Uint32Var(&r.Backlog, "backlog", 50, "past ones to begin with")
	return c
}

func forecastsCommand() *cobra.Command {
	var admin adminFlags
	c := &cobra.Command{
		Use:   "forecasts [FUNCTION]",
		Short: "Show what is expected of functions and nodes",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r := &forewarmv1.ForecastsRequest{}
			if len(args) > 0 {
				r.Function = args[0]
			}
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				reply, err := forewarmv1.NewForewarmClient(conn).Forecasts(ctx, r)
				if err == nil {
					printForecasts(c.OutOrStdout(), reply)
				}
				return err
			})
		},
	}
	admin.add(c)
	return c
}

func printForecasts(out io.Writer, r *forewarmv1.ForecastsReply) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FUNCTION\tMODEL\tCALLS/S\tBUSY\tBUSY P90\tWANTED\tNEXT CALL IN\tGAPS SEEN")
	for _, f := range r.Forecasts {
		next := "-"
		if f.NextKnown {
			next = console.Duration(f.NextExpectedIn.AsDuration())
		}
		fmt.Fprintf(w, "%s\t%s\t%.3g\t%.2g\t%.0f\t%d\t%s\t%d\n", edge.Escape(f.Function), shown(f.Model), f.RatePerSecond, f.DemandMean, f.DemandQ90, f.Want, next, f.GapsSeen)
	}
	w.Flush()
	if n := r.Nodes; n != nil {
		fmt.Fprintf(out, "\nNodes: %s.\n", shown(n.Text))
	}
}

func invokeCommand() *cobra.Command {
	var gateway, data string
	c := &cobra.Command{
		Use:   "invoke FUNCTION",
		Short: "Call a function through a running gateway, and say how it was served",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body := []byte(data)
			if strings.HasPrefix(data, "@") {
				var err error
				if body, err = os.ReadFile(data[1:]); err != nil {
					return err
				}
			}
			began := time.Now()
			req, err := http.NewRequestWithContext(c.Context(), http.MethodPost, "http://"+gateway+"/function/"+args[0], bytes.NewReader(body))
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return fmt.Errorf("no gateway answers at %s: %w; is one running, and is that its address?", gateway, err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(c.OutOrStdout(), resp.Body); err != nil {
				return err
			}
			h := resp.Header.Get
			fmt.Fprintf(c.ErrOrStderr(), "\n%s, %s: waited %s ms, ran %s ms, %s in all, container %.16s on %s\n", resp.Status, h("X-Forewarm-Start"),
				h("X-Forewarm-Wait-Ms"), h("X-Forewarm-Duration-Ms"), time.Since(began).Round(100*time.Microsecond), h("X-Forewarm-Container"), h("X-Forewarm-Node"))
			if resp.StatusCode >= 400 {
				return fmt.Errorf("%s answered %s", args[0], resp.Status)
			}
			return nil
		},
	}
	c.Flags().StringVar(&gateway, "gateway", "127.0.0.1:8080", "host:port of the gateway's HTTP")
	c.Flags().StringVarP(&data, "data", "d", "", "body of the call, or @FILE")
	return c
}

func logsCommand() *cobra.Command {
	var admin adminFlags
	r := &forewarmv1.TailRequest{}
	c := &cobra.Command{
		Use:   "logs FUNCTION",
		Short: "Show what a function's containers print",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.Function = args[0]
			return admin.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				stream, err := forewarmv1.NewLogsClient(conn).Tail(ctx, r)
				for err == nil {
					var l *forewarmv1.LogLine
					if l, err = stream.Recv(); err == nil {
						fmt.Fprintf(c.OutOrStdout(), "%s %s %.12s  %s\n", l.At.AsTime().Local().Format("15:04:05.000"), edge.Escape(l.Node), edge.Escape(l.Container), shown(l.Text))
					}
				}
				if errors.Is(err, io.EOF) || c.Context().Err() != nil {
					return nil
				}
				return err
			})
		},
	}
	admin.add(c)
	c.Flags().BoolVarP(&r.Follow, "follow", "f", false, "go on as they come")
	c.Flags().Uint32VarP(&r.Lines, "lines", "n", 100, "past lines to begin with")
	return c
}
