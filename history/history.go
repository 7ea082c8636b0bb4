package history

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// Function is one function's past.
type Function struct {
	Account, Name string
	// Calls yields when each began, on the scale of the run (see Options.Epoch), and how long it took, the earliest first.
	Calls iter.Seq2[time.Duration, time.Duration]
}

// Load reads a source: a file of rows, see below, or the base URL of a Prometheus or of anything that speaks its API.
//
// A file is CSV with a head line, or has one JSON object a line, and may be compressed (.gz). Its columns or keys are
// timestamp (RFC 3339, or seconds or milliseconds since 1970) and function, and if there are any account, duration_ms
// and count; others are passed over. Calls of a row with a count are spread evenly over Options.Step, or until the
// function's next row. Rows may come in any order.
//
// An error names the file and the line, and nothing is returned then: half a history would be learnt as the whole.
func Load(ctx context.Context, source string, o Options) ([]Function, Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, Report{}, err
	}
	b := newBook(o)
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		err = readPrometheus(ctx, source, b)
	} else {
		err = readFile(ctx, source, b)
	}
	if err != nil {
		return nil, Report{}, err
	}
	functions := b.functions()
	return functions, b.report, nil
}

// learner is what is asked of a prewarm.Planner.
type learner interface {
	Learn(account, name string, calls iter.Seq2[time.Duration, time.Duration]) (learnt int, err error)
}

// Feed loads a source and has a planner learn it. It must come before the planner's first round; functions of which the
// planner has a saved state are left to that, and counted in Report.Saved.
func Feed(ctx context.Context, source string, planner learner, o Options) (Report, error) {
	functions, r, err := Load(ctx, source, o)
	if err != nil {
		return r, err
	}
	var errs []error
	r.Functions, r.Calls = 0, 0
	for _, f := range functions {
		if err := ctx.Err(); err != nil {
			return r, errors.Join(append(errs, err)...)
		}
		switch n, err := planner.Learn(f.Account, f.Name, f.Calls); {
		case err != nil:
			errs = append(errs, err)
		case n == 0:
			r.Saved++
		default:
			r.Functions++
			r.Calls += n
		}
	}
	return r, errors.Join(errs...)
}

// Report says what a source held, and what of it is of use.
type Report struct {
	Functions int // that there is a history of; of Feed: that were learnt
	Calls     int // of those
	Saved     int // Feed: functions left to what the planner knew of them
	Rows      int // read: lines of a file, or counts above 0
	Future    int // rows left out because they lie ahead
	Beyond    int // rows left out because of Options.MaxFunctions
	Dropped   int // calls left out because of Options.MaxCalls or MaxRows, the oldest
	Unnamed   int // counts left out of functions that were summed up as `other`

	From, Until time.Time // of the calls, or of what was asked for
	Gaps        []Gap     // in which the Prometheus has no sample of any function
	Retried     int       // requests
	Warnings    []string  // of the Prometheus
}

// Gap is a time of which nothing is known.
type Gap struct{ From, Until time.Time }

// String sums it up in a line.
func (r Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d functions, %d calls", r.Functions, r.Calls)
	if !r.From.IsZero() {
		fmt.Fprintf(&s, " from %s to %s", r.From.UTC().Format(time.RFC3339), r.Until.UTC().Format(time.RFC3339))
	}
	for _, part := range []struct {
		n    int
		what string
	}{
		{r.Saved, "functions known from the saved state"},
		{r.Future, "rows in the future left out"},
		{r.Beyond, "rows of further functions left out"},
		{r.Dropped, "older calls left out"},
		{r.Unnamed, "counts without a function's name left out"},
		{r.Retried, "requests tried again"},
	} {
		if part.n > 0 {
			fmt.Fprintf(&s, ", %d %s", part.n, part.what)
		}
	}
	if n := len(r.Gaps); n > 0 {
		fmt.Fprintf(&s, ", %d gaps, the last from %s to %s", n, r.Gaps[n-1].From.UTC().Format(time.RFC3339), r.Gaps[n-1].Until.UTC().Format(time.RFC3339))
	}
	return s.String()
}
