package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/edge"
)

func applyCommand() *cobra.Command {
	a := applying{}
	c := &cobra.Command{
		Use:   "apply",
		Short: "Change the functions of a running platform, after showing what would change",
		Long: `Change the functions of a running "forewarm up" to what a file lists. What would change is shown first, and done
after a yes. No call is refused meanwhile, but for those of functions that are removed. Containers of a changed function
end with the calls that they hold.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.in, a.out = c.InOrStdin(), c.OutOrStdout()
			return a.run(c.Context())
		},
	}
	c.Flags().StringVarP(&a.file, "file", "f", "", "functions.yaml with all functions there shall be")
	c.Flags().StringVar(&a.gateway, "gateway", "127.0.0.1:8080", "host:port of the gateway's HTTP, which tells one platform on this machine from another")
	c.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	if err := c.MarkFlagRequired("file"); err != nil {
		panic(err) // there is no such flag
	}
	return c
}

// applying is one run of the command.
type applying struct {
	file, gateway string
	yes           bool
	in            io.Reader
	out           io.Writer
	client        http.Client
}

func (a *applying) run(ctx context.Context) error {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return fmt.Errorf("read the list of functions: %w", err)
	}
	wanted, err := catalog.Parse(a.file, text)
	if err != nil {
		return err
	}
	if err := a.connect(); err != nil {
		return err
	}
	r := applyRequest{File: a.file, Text: text, DryRun: true}
	if r.Folder, err = filepath.Abs(filepath.Dir(a.file)); err != nil {
		return err
	}
	plan, err := a.post(ctx, &r)
	if err != nil {
		return err
	}
	if len(plan.Changes) == 0 {
		fmt.Fprintln(a.out, "Nothing changes.")
		return nil
	}
	a.show(plan.Changes, wanted)
	if ok, err := a.agreed(); !ok || err != nil {
		return err
	}
	r.DryRun, r.Version = false, plan.Version
	if _, err := a.post(ctx, &r); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Applied: %s.\n", count(plan.Changes))
	return nil
}

// connect finds the platform's socket.
func (a *applying) connect() error {
	_, port, err := net.SplitHostPort(a.gateway)
	if err != nil {
		return fmt.Errorf("--gateway %q: want host:port, such as 127.0.0.1:8080", a.gateway)
	}
	path, err := controlSocket(port)
	if err != nil {
		return err
	}
	a.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	return nil
}

func (a *applying) post(ctx context.Context, r *applyRequest) (reply applyReply, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return reply, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://up/functions", bytes.NewReader(body))
	if err != nil {
		return reply, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return reply, fmt.Errorf(`no "forewarm up" of this user answers for %s: %w; is one running on this machine, and is that its --gateway?`, a.gateway, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		return reply, fmt.Errorf("the platform's answer cannot be read: %w", err)
	}
	if reply.Error != "" {
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}

// show prints the changes. Values come from whoever wrote the files, and go to a terminal.
func (a *applying) show(changes []catalog.Change, wanted *catalog.Catalog) {
	for _, c := range changes {
		fmt.Fprintln(a.out, edge.Escape(c.String()))
		if f, ok := wanted.Lookup(c.Function); ok && c.Kind == catalog.Changed && f.Handler != "" && hidden(c) {
			fmt.Fprintln(a.out, "  its containers stay until they end for another reason, since it has a handler that is the same: change that, too")
		}
	}
}

// hidden says whether nothing of a change is among what a scheduler is told, unless in the handler.
func hidden(c catalog.Change) bool {
	for _, f := range c.Fields {
		if f.Name != "command" && f.Name != "sample" && !strings.HasPrefix(f.Name, "env ") {
			return false
		}
	}
	return true
}

// agreed asks, where there is somebody to ask.
func (a *applying) agreed() (bool, error) {
	if a.yes {
		return true, nil
	}
	if f, ok := a.in.(*os.File); !ok || !isatty.IsTerminal(f.Fd()) {
		return false, errors.New("nothing was changed: there is no terminal to ask at; give --yes")
	}
	fmt.Fprint(a.out, "\nApply? [y/N] ")
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return true, nil
	}
	fmt.Fprintln(a.out, "Nothing was changed.")
	return false, nil
}

// count sums changes up.
func count(changes []catalog.Change) string {
	n := map[string]int{}
	for _, c := range changes {
		n[c.Kind]++
	}
	var parts []string
	for _, kind := range []string{catalog.Added, catalog.Changed, catalog.Removed} {
		if n[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[kind], kind))
		}
	}
	return strings.Join(parts, ", ")
}
