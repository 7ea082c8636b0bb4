package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

const page1 = `# Metrics

<!-- Written by "go test ./metrics -rewrite" from metrics/list.go. -->

The admin port (` + "`--admin`" + `, 127.0.0.1:10700 by default) shows at ` + "`/metrics`" + ` what follows, and what client_golang
tells of the Go runtime (` + "`go_*`" + `), the process (` + "`process_*`" + `) and scrapes that went wrong (` + "`promhttp_*`" + `). The format is
Prometheus's text, or OpenMetrics where the scraper asks for it. Times are in seconds, memory in bytes. Beside it are
` + "`/healthz`" + ` (the process lives), ` + "`/readyz`" + ` (it takes calls; else 503 and why) and ` + "`/debug/pprof/`" + `.

Nothing is counted for the sake of a scrape: the dispatcher and the planner count for themselves, and a scrape adds up.
What happens around them (orders on their way, the disk, the ports, the log) is counted where it happens, and told in the
same exposition. Series without a function exist from the start, with zero, so that ` + "`rate()`" + ` sees the first event.

**Where nobody can scrape**, ` + "`--metrics-push-url http://HOST:8428/api/v1/import/prometheus`" + ` sends the same exposition every
` + "`--metrics-push-every`" + ` (10s) to VictoriaMetrics, or whatever takes Prometheus's text there. Labels that tell schedulers apart go into
the URL, as in ` + "`?extra_label=job=forewarm&extra_label=instance=a`" + `. A push that fails is logged once and not made up for: counters go on.

**Functions.** The 200 functions with the most calls have series of their own. The rest is summed under
` + "`function=\"other\"`, `account=\"\"`" + `, and so is a function whose name or account is not UTF-8 or which is itself called "other" in
the account "". A function with series of its own gives way only to one with a tenth more calls. Counters of the rest do not
jump when functions change places, so that ` + "`rate()`" + ` and ` + "`increase()`" + ` over it, and over sums with it, are right; the plain
sum of a counter over all functions is the total since the start only as long as none has changed places.
`

const page2 = `
## Questions and their expressions

| question | PromQL |
|---|---|
| share of cold starts | ` + "`sum(rate(forewarm_calls_total{start=\"cold\"}[5m])) / sum(rate(forewarm_calls_total[5m]))`" + ` |
| 99 of 100 calls waited less than | ` + "`histogram_quantile(0.99, sum by (le) (rate(forewarm_call_wait_seconds_bucket[5m])))`" + ` |
| forecast against actual | ` + "`forewarm_forecast_rate`" + ` beside ` + "`sum by (function, account) (rate(forewarm_calls_total[1m]))`" + ` |
| idle share of container time | ` + "`sum(rate(forewarm_container_seconds_total{state=\"idle\"}[5m])) / sum(rate(forewarm_container_seconds_total[5m]))`" + ` |
| cost, in idle container-seconds per second | ` + "`sum(rate(forewarm_container_seconds_total{state=~\"idle\\|starting\"}[5m])) + sum(sum without (start) (rate(forewarm_calls_total{start=\"cold\"}[5m])) * forewarm_kappa_seconds)`" + ` |
| what forecasts saved of the keep-alive's cost | ` + "`1 - rate(forewarm_cost_seconds_total{book=\"live\"}[1h]) / ignoring(book) rate(forewarm_cost_seconds_total{book=\"reactive\"}[1h])`" + ` |
| wait of a cold call, median | ` + "`histogram_quantile(0.5, sum by (le) (rate(forewarm_edge_wait_seconds_bucket{start=\"cold\"}[5m])))`" + ` |
| orders that fail | ` + "`sum by (kind) (rate(forewarm_orders_total{result=\"failed\"}[5m]))`" + ` |
| how full the nodes are | ` + "`forewarm_node_memory_booked_bytes / forewarm_node_memory_bytes`" + ` |

[deploy.md](deploy.md) has these as rules, alerts and a dashboard.
`

func markdown() string {
	var b strings.Builder
	b.WriteString(page1)
	for _, g := range List() {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", g.Title)
		for _, m := range g.Metrics {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, labelsOf(m), m.Help)
		}
	}
	b.WriteString(page2)
	return b.String()
}

func labelsOf(m Metric) string {
	var words []string
	for i, l := range m.Labels {
		word := "`" + l + "`"
		if i == len(m.Labels)-1 && m.Values != nil {
			word += ": " + strings.Join(m.Values, ", ")
		}
		words = append(words, word)
	}
	return strings.Join(words, "; ")
}

// TestDocs holds docs/metrics.md to the list.
func TestDocs(t *testing.T) {
	const file = "../docs/metrics.md"
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) && !*rewrite {
		t.Skip("there is no " + file)
	}
	golden(t, file, markdown())
}

// TestExpressionsNameWhatExists: the page asks for no metric that the list does not have.
func TestExpressionsNameWhatExists(t *testing.T) {
	known := map[string]bool{}
	for _, g := range List() {
		for _, m := range g.Metrics {
			known[m.Name] = true
			if m.Type == Histogram {
				known[m.Name+"_bucket"] = true
			}
		}
	}
	for _, word := range strings.FieldsFunc(page2, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		if strings.HasPrefix(word, "forewarm_") && !known[word] {
			t.Errorf("docs name %s, which does not exist", word)
		}
	}
}
