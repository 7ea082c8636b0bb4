package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/forewarm/forewarm/metrics"
)

// rule is a recording or an alerting rule.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T) (out []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	read(t, "prometheus/rules.yml", &file)
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) == 0 {
		t.Fatal("there are no rules")
	}
	return out
}

// read decodes a YAML file, in which nothing may be that into does not know.
func read(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(data, into, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// Names in expressions: series, functions, labels, and whatever else is a word.
var word = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

// foreign are the series that Prometheus and client_golang add to ours, as far as we use them.
var foreign = []string{"up", "go_goroutines", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}

// exists says whether a name in an expression is a series that there is, or no name of a series.
func exists(name string, recorded []string) bool {
	switch {
	case strings.Contains(name, ":"):
		return slices.Contains(recorded, name)
	case strings.HasPrefix(name, "go_"), strings.HasPrefix(name, "process_"), strings.HasPrefix(name, "promhttp_"):
		return slices.Contains(foreign, name)
	case !strings.HasPrefix(name, "forewarm_"):
		return true
	}
	for _, g := range metrics.List() {
		for _, m := range g.Metrics {
			if part, ok := strings.CutPrefix(name, m.Name); ok && (part == "" && m.Type != metrics.Histogram ||
				m.Type == metrics.Histogram && (part == "_bucket" || part == "_sum" || part == "_count")) {
				return true
			}
		}
	}
	return false
}

func recorded(rs []rule) (names []string) {
	for _, r := range rs {
		if r.Record != "" {
			names = append(names, r.Record)
		}
	}
	return names
}

var quoted = regexp.MustCompile(`"[^"]*"`)

// unknown lists the series in an expression that do not exist.
func unknown(expr string, recorded []string) (names []string) {
	for _, name := range word.FindAllString(quoted.ReplaceAllString(expr, `""`), -1) {
		if !exists(name, recorded) {
			names = append(names, name)
		}
	}
	return names
}

func TestUnknownSeriesAreFound(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want int
	}{
		{`sum by (job) (rate(forewarm_calls_total{start="cold"}[5m])) > 0`, 0},
		{`histogram_quantile(0.9, rate(forewarm_order_seconds_bucket[5m]))`, 0},
		{`forewarm_order_seconds`, 1}, // a histogram has no series of its own name
		{`forewarm_calls_total_bucket`, 1},
		{`forewarm_call_total + job:there:rate5m - job:gone:rate5m`, 2},
		{`process_cpu_seconds`, 1},
		{`up{job="forewarm_x"}`, 0},
	} {
		if got := unknown(tt.expr, []string{"job:there:rate5m"}); len(got) != tt.want {
			t.Errorf("%s: unknown are %v, want %d", tt.expr, got, tt.want)
		}
	}
}

func TestRulesNameWhatExists(t *testing.T) {
	rs := rules(t)
	for _, r := range rs {
		for _, name := range unknown(r.Expr, recorded(rs)) {
			t.Errorf("%s%s names %s, which does not exist", r.Record, r.Alert, name)
		}
	}
}

// TestAlertsSayWhatToDo: how bad it is, what happened, and where to read on.
func TestAlertsSayWhatToDo(t *testing.T) {
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		for _, a := range []string{"summary", "description"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s has no %s", r.Alert, a)
			}
		}
		if want := "docs/operations.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s points to %q, want %s", r.Alert, r.Annotations["runbook"], want)
		}
	}
}

// TestRunbooksExist: each alert has a heading of its name in docs/operations.md, and a line in docs/deploy.md.
func TestRunbooksExist(t *testing.T) {
	for _, doc := range []struct{ file, mark string }{{"../docs/operations.md", "\n### %s\n"}, {"../docs/deploy.md", "| %s |"}} {
		text, err := os.ReadFile(doc.file)
		if err != nil {
			t.Logf("%v: nothing is checked there", err)
			continue
		}
		for _, r := range rules(t) {
			if r.Alert != "" && !strings.Contains(string(text), fmt.Sprintf(doc.mark, r.Alert)) {
				t.Errorf("%s has nothing of the form %q", doc.file, fmt.Sprintf(doc.mark, r.Alert))
			}
		}
	}
}

// TestEveryRuleHasATest: promtool runs those that there are, and does not miss any.
func TestEveryRuleHasATest(t *testing.T) {
	text, err := os.ReadFile("prometheus/rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	has := func(s string) bool { return strings.Contains(string(text), s) }
	for _, r := range rules(t) {
		if r.Alert != "" && !has("alertname: "+r.Alert+"\n") || r.Record != "" && !has("labels: '"+r.Record+"{") && !has("round("+r.Record+",") {
			t.Errorf("%s%s has no test", r.Record, r.Alert)
		}
	}
}

func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: the rules, their tests and the configuration were not checked by it (Debian has it in the package prometheus)")
	}
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "rules.yml"},
		{"test", "rules", "rules_test.yml"},
	} {
		c := exec.CommandContext(t.Context(), promtool, args...)
		c.Dir = "prometheus"
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
