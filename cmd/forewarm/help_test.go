package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var rewrite = flag.Bool("rewrite", false, "write the present help into testdata/help.txt; then read the diff")

// commands are all that people may type.
func commands() []*cobra.Command {
	r := root()
	return append([]*cobra.Command{r}, r.Commands()...)
}

// help is what --help prints.
func help(t *testing.T, c *cobra.Command) string {
	t.Helper()
	var out bytes.Buffer
	r := root()
	r.SetOut(&out)
	r.SetArgs(append(strings.Fields(c.CommandPath())[1:], "--help"))
	if err := r.Execute(); err != nil {
		t.Fatalf("%s --help: %v", c.CommandPath(), err)
	}
	return out.String()
}

// The whole help as people see it. A change shows in a diff of testdata/help.txt.
func TestHelp(t *testing.T) {
	var b strings.Builder
	for _, c := range commands() {
		fmt.Fprintf(&b, "$ %s --help\n%s\n", c.CommandPath(), help(t, c))
	}
	const path = "testdata/help.txt"
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, lines := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(got), len(lines)) {
		if got[i] != lines[i] {
			t.Fatalf("%s:%d: help says\n%s\nwant\n%s\nif that is meant: go test ./cmd/forewarm -rewrite", path, i+1, got[i], lines[i])
		}
	}
	if len(got) != len(lines) {
		t.Errorf("help has %d lines, %s has %d; if that is meant: go test ./cmd/forewarm -rewrite", len(got), path, len(lines))
	}
}

func TestEveryCommandIsDescribed(t *testing.T) {
	for _, c := range commands() {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || c.Short[:1] != strings.ToUpper(c.Short[:1]) {
			t.Errorf("%s: described as %q, want a sentence without its stop", c.CommandPath(), c.Short)
		}
		if c.HasParent() && !c.HasSubCommands() && c.RunE == nil && c.Run == nil {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		if c.HasParent() && !c.HasSubCommands() && c.Args == nil {
			t.Errorf("%s takes any arguments, and would not notice one too many", c.CommandPath())
		}
	}
}

// Every flag says what it is, and its default where that is not plain zero.
func TestEveryFlagIsDescribed(t *testing.T) {
	for _, c := range commands() {
		text := help(t, c)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			line := lineOf(text, "--"+f.Name+" ")
			if f.Usage == "" || !strings.Contains(line, f.Usage) {
				t.Errorf("%s --%s: help says %q, want its use %q", c.CommandPath(), f.Name, line, f.Usage)
			}
			if f.DefValue == "" || f.DefValue == "false" || f.DefValue == "0" {
				return
			}
			if !strings.Contains(line, "(default "+f.DefValue) && !strings.Contains(line, fmt.Sprintf("(default %q", f.DefValue)) {
				t.Errorf("%s --%s: help says %q, want its default %s", c.CommandPath(), f.Name, line, f.DefValue)
			}
		})
	}
}

func lineOf(text, piece string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, piece) {
			return line
		}
	}
	return ""
}

// What "up" passes to its children they understand, and it is what was given.
func TestFlagsReachTheRoles(t *testing.T) {
	up := upCommand()
	given := []string{"--policy=ewma", "--kappa=1s", "--max-nodes=2", "--state=s", "--drain=3s"}
	if err := up.ParseFlags(given); err != nil {
		t.Fatal(err)
	}
	serve := serveCommand()
	if err := serve.ParseFlags(given); err != nil {
		t.Errorf("serve %q, as up passes it on: %v", given, err)
	}
	m := clusterFlags{nodes: 6, cap: 7, refill: 8, memory: 9}
	for _, tt := range []struct {
		command *cobra.Command
		args    []string
	}{{managerCommand(), m.args()}} {
		if err := tt.command.ParseFlags(tt.args); err != nil {
			t.Errorf("%s %q: %v", tt.command.Name(), tt.args, err)
			continue
		}
		for i := 0; i < len(tt.args); i += 2 {
			f := tt.command.Flags().Lookup(strings.TrimPrefix(tt.args[i], "--"))
			if f.Value.String() != tt.args[i+1] || !f.Changed {
				t.Errorf("%s %s %s arrives as %s", tt.command.Name(), tt.args[i], tt.args[i+1], f.Value)
			}
		}
	}
	own := upCommand().Flags()
	for _, c := range []*cobra.Command{serveCommand(), managerCommand()} {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if u := own.Lookup(f.Name); u != nil && f.Name != "listen" && f.Name != "functions" && !strings.HasPrefix(f.Name, "log-") && (u.DefValue != f.DefValue || u.Usage != f.Usage) {
				t.Errorf("--%s is %q, default %s, for up, and %q, default %s, for %s", f.Name, u.Usage, u.DefValue, f.Usage, f.DefValue, c.Name())
			}
		})
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	r := root()
	r.SetOut(&out)
	r.SetArgs([]string{"version"})
	if err := r.Execute(); err != nil || !strings.HasPrefix(out.String(), "forewarm ") {
		t.Errorf("version printed %q, %v", out.String(), err)
	}
}
