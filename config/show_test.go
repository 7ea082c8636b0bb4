package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestShow(t *testing.T) {
	s := &Set{Environ: []string{"FOREWARM_CONFIG=testdata/forewarm.yaml", "SERVICE_PORT=9000", "HOST_NAME=pod-7", "FOREWARM_LOG_LEVEL=warn",
		"FOREWARM_STATE_HISTORY=https://token@prometheus:9090?key=secret"}}
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.AddFlags(fs)
	if err := fs.Parse([]string{"--drain", "90s", "--log-level=error"}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret", "token@"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("shown: %s", secret)
		}
	}
	golden(t, filepath.Join("testdata", "show.txt"), b.String())
}

func TestDiff(t *testing.T) {
	const base = "log: {level: warn}\n"
	for _, tt := range []struct {
		claim, before, after string
		want                 []string
	}{
		{"nothing", base, base, nil},
		{"only the place", base, "\n\n" + base, nil},
		{"what was the default anyway", "{}", "log: {level: info}\n", nil},
		{"a value", base, "log: {level: error}\n", []string{"log.level: warn -> error (f.yaml:1)"}},
		{"a value removed", base, "{}", []string{"log.level: warn -> info (default)"}},
		{"in the order of the settings", "{}", "log: {level: warn}\nlisten: {port: 1}\n", []string{"listen.port: 10600 -> 1 (f.yaml:2)", "log.level: info -> warn (f.yaml:1)"}},
		{"kappa gives way to a target", "{}", "planner: {target_cold: 1%}\n", []string{"planner.kappa: 1m -> - (default)", "planner.target_cold: - -> 1% (f.yaml:1)"}},
		{"a function comes", "{}", "functions: {a: {min: 1, concurrency: auto}}\n", []string{"functions.a.min: - -> 1 (f.yaml:1)", "functions.a.concurrency: - -> auto (f.yaml:1)"}},
		{"a function goes", "functions: {a: {min: 1}, b: {}}\n", "{}", []string{"functions.a.min: 1 -> - (default)"}},
		{"a window", "functions: {a: {calendar: [{cron: '@daily', duration: 60m, min: 1}]}}\n", "functions: {a: {calendar: [{cron: '@daily', duration: 1h, max: 1, zone: Asia/Tokyo}]}}\n", []string{
			`functions.a.calendar: [{cron: "@daily", duration: 1h, min: 1, zone: UTC}] -> [{cron: "@daily", duration: 1h, max: 1, zone: Asia/Tokyo}] (f.yaml:1)`}},
		{"an account", "accounts: {a: {memory_share: 0.5}}\n", "accounts: {a: {memory_share: 25%}}\n", []string{"accounts.a.memory_share: 50% -> 25% (f.yaml:1)"}},
		{"a password", "metrics: {push_url: 'http://u:old@h'}\n", "metrics: {push_url: 'http://u:new@h'}\n", []string{"metrics.push_url: http://xxxxx@h, of which a hidden part changed (f.yaml:1)"}},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			inFolder(t)
			_, before := mustLoad(t, tt.before, nil, nil)
			_, after := mustLoad(t, tt.after, nil, nil)
			var got []string
			for _, c := range Diff(before, after) {
				got = append(got, c.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("from\n%sto\n%sgot  %q\nwant %q", tt.before, tt.after, got, tt.want)
			}
		})
	}
}
