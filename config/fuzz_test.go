package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzFile holds that no file brings the reader down, that a refusal has a place or a reason, and that what is
// accepted keeps its bounds and is shown on one line each.
func FuzzFile(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("testdata", "forewarm.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("planner: {kappa: 60s, policy: holt, mode: off, target_cold: 1%, rounds: {min: 1s}}\n"))
	f.Add([]byte("functions: {a: {min: 1, calendar: [{cron: 0 8 * * 1, duration: 1h, zone: UTC}]}}\naccounts: {a: {memory_share: .5}}\n"))
	f.Add([]byte("listen: &a {port: 1}\nadmin: *a\n"))
	f.Add([]byte("functions:\n  ? a\n  : min: |\n     1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader()
		if l.yaml("f.yaml", data) {
			l.check(&Set{Offline: true})
		}
		if len(l.errs) > 0 {
			err := join(l.errs)
			if e, ok := errors.AsType[*Error](err); !ok || e.Message == "" || e.Origin.Source == FromFile && (e.Origin.Line < 1 || e.Origin.Column < 1) {
				t.Fatalf("a refusal without a place: %#v", err)
			}
			return
		}
		holdAccepted(t, l.c)
	})
}

func holdAccepted(t *testing.T, c *Config) {
	t.Helper()
	for name, f := range c.Functions {
		if name == "" || f.Min < 0 || f.Max > 0 && f.Min > f.Max || f.MaxContainers > 0 && (f.Min > f.MaxContainers || f.Max > f.MaxContainers) {
			t.Fatalf("accepted %s: %+v", name, f)
		}
		for _, w := range f.Calendar {
			if w.Duration <= 0 || w.Min == 0 && w.Max == 0 || w.Max > 0 && w.Min > w.Max || checkCron(w.Cron) != nil || checkZone(w.Zone) != nil {
				t.Fatalf("accepted %s: %+v", name, w)
			}
		}
	}
	for name, a := range c.Accounts {
		if name == "" || a.MemoryShare < 0 || a.MemoryShare > 1 {
			t.Fatalf("accepted %s: %+v", name, a)
		}
	}
	p := c.Planner
	if (p.Kappa > 0) == (p.Prices.Given() || p.TargetCold > 0) || p.Rounds.Min > p.Rounds.Max || c.Dispatcher.MaxNodes < 1 {
		t.Fatalf("accepted %+v, %+v", p, c.Dispatcher)
	}
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(b.String(), "\n"); lines != len(c.Items())+1 {
		t.Fatalf("%d settings were shown on %d lines:\n%s", len(c.Items()), lines, b.String())
	}
}
