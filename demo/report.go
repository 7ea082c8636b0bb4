package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Report is both sides of a run.
type Report struct {
	Predictive Result `json:"predictive"`
	Reactive   Result `json:"reactive"`
}

// WriteJSON writes the report to a file.
func (r *Report) WriteJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// Words compares the two sides for a reader.
func (r *Report) Words(w io.Writer, kappa, learn time.Duration) {
	p, q := &r.Predictive, &r.Reactive
	fmt.Fprintf(w, "\nAfter the first %s, in which both began to know the load:\n\n", learn)
	row := func(what string, a, b float64, format string) {
		fmt.Fprintf(w, "  %-34s "+format+"  "+format+"   %s\n", what, a, b, ratio(a, b))
	}
	fmt.Fprintf(w, "  %-34s %10s  %10s   %s\n", "", "predictive", "reactive", "ratio")
	row("calls answered", float64(p.OK), float64(q.OK), "%10.0f")
	row("cold starts met by calls", float64(p.Cold), float64(q.Cold), "%10.0f")
	row("calls that waited for a busy one", float64(p.Waited), float64(q.Waited), "%10.0f")
	row("waiting in all, s", p.WaitSeconds, q.WaitSeconds, "%10.2f")
	row("wait p99, ms", p.AcquireMS.P99, q.AcquireMS.P99, "%10.1f")
	row("idle container-seconds", p.IdleContainerSeconds, q.IdleContainerSeconds, "%10.1f")
	row("starting container-seconds", p.StartingSeconds, q.StartingSeconds, "%10.1f")
	row("node-seconds", p.NodeSeconds, q.NodeSeconds, "%10.1f")
	row(fmt.Sprintf("j = idle + starting + %s x cold", kappa), p.J, q.J, "%10.1f")
	fmt.Fprintf(w, "\n  %s\n", r.sentence())
	fmt.Fprintf(w, "  Per function, calls that met no ready container (predictive / reactive):\n   ")
	for i := range p.Functions {
		fmt.Fprintf(w, " %s %d/%d", p.Functions[i].Function, p.Functions[i].Cold, q.Functions[i].Cold)
	}
	fmt.Fprintln(w)
	for side, s := range map[string]*Result{"predictive": p, "reactive": q} {
		if s.FirstError != "" {
			fmt.Fprintf(w, "  The %s side failed %d calls; the first: %s\n", side, s.Calls-s.OK, s.FirstError)
		}
	}
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// sentence says what the figures come to.
func (r *Report) sentence() string {
	p, q := &r.Predictive, &r.Reactive
	var said []string
	switch {
	case q.Cold == 0 && p.Cold == 0:
		said = append(said, "Neither side met a cold start")
	case p.Cold <= q.Cold:
		said = append(said, fmt.Sprintf("Starting containers before they are called spared %d of %d cold starts", q.Cold-p.Cold, q.Cold))
	default:
		said = append(said, fmt.Sprintf("The forecasts cost %d cold starts more than keeping alive", p.Cold-q.Cold))
	}
	if q.IdleContainerSeconds > 0 {
		d := 1 - p.IdleContainerSeconds/q.IdleContainerSeconds
		if d >= 0 {
			said = append(said, fmt.Sprintf("with %.0f %% less idle container time", 100*d))
		} else {
			said = append(said, fmt.Sprintf("for %.0f %% more idle container time", -100*d))
		}
	}
	return strings.Join(said, ", ") + "."
}
