package promtest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	rulesFile     = "../prometheus/rules.yml"
	dashboardFile = "../grafana/dashboards/forewarm.json"
)

var promQL = parser.NewParser(parser.Options{})

// expr is one expression, and where it stands.
type expr struct{ where, text string }

// rules reads the rules, the recording ones first to last.
func rules(t *testing.T) (recording []rulefmt.Rule, alerts []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				alerts = append(alerts, r)
			} else {
				recording = append(recording, r)
			}
		}
	}
	return recording, alerts
}

// dashboard reads the expressions of all panels and of the annotations, with Grafana's variables put in.
func dashboard(t *testing.T) (out []expr) {
	t.Helper()
	data, err := os.ReadFile(dashboardFile)
	fatal(t, err)
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	fatal(t, json.Unmarshal(data, &d))
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			out = append(out, expr{fmt.Sprintf("panel %q, query %s", p.Title, q.RefID), q.Expr})
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			out = append(out, expr{"annotation " + a.Name, a.Expr})
		}
	}
	for _, v := range d.Templating.List {
		if selector, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			selector = selector[:strings.LastIndex(selector, ",")]
			out = append(out, expr{"variable " + v.Name, selector})
		}
	}
	for i := range out {
		out[i].text = strings.NewReplacer("$__rate_interval", "20s", "$__range", "1m", "$job", ".*", "$account", ".*", "$function", "nap").Replace(out[i].text)
		if strings.Contains(out[i].text, "$") {
			t.Errorf("%s: a variable is left in %s", out[i].where, out[i].text)
		}
	}
	return out
}

// blocks takes the conditions off an expression of an alert, which is empty while all is well, and gives the parts
// that must not be: of a comparison what is compared, of absent its argument, of "or", "and" and "unless" both sides.
func blocks(e parser.Expr) []parser.Expr {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return blocks(e.Expr)
	case *parser.StepInvariantExpr:
		return blocks(e.Expr)
	case *parser.Call:
		if e.Func.Name == "absent" {
			return blocks(e.Args[0])
		}
	case *parser.NumberLiteral:
		return nil
	case *parser.BinaryExpr:
		if e.Op.IsComparisonOperator() || e.Op.IsSetOperator() {
			return append(blocks(e.LHS), blocks(e.RHS)...)
		}
		if e.Type() == parser.ValueTypeScalar {
			return nil
		}
	}
	return []parser.Expr{e}
}

func TestBlocks(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want []string
	}{
		{`a > 3`, []string{"a"}},
		{`up == 0 or absent(up{job="x"})`, []string{"up", `up{job="x"}`}},
		{`sum(a) / (sum(b) > 0) > 0.2`, []string{"sum(a) / (sum(b) > 0)"}},
		{`(r > 3 or r < 1 / 3) and rate(c[5m]) > 0.05`, []string{"r", "r", "rate(c[5m])"}},
		{`increase(a[1m]) > 0 unless b`, []string{"increase(a[1m])", "b"}},
	} {
		e, err := promQL.ParseExpr(tt.expr)
		fatal(t, err)
		var got []string
		for _, b := range blocks(e) {
			got = append(got, b.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("blocks of %s: %q, want %q", tt.expr, got, tt.want)
		}
	}
}
