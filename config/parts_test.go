package config

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/prewarm"
)

// A configured policy must be one that the planner has, and the other way round.
func TestPoliciesExist(t *testing.T) {
	for _, r := range settings() {
		if r.name != "planner.policy" {
			continue
		}
		for _, w := range r.words {
			if _, err := prewarm.ParsePolicy(w); err != nil {
				t.Error(err)
			}
		}
		if _, err := prewarm.ParsePolicy("?"); err == nil || strings.Count(err.Error(), ",")+2 != len(r.words) {
			t.Errorf("the planner says %v, and there are %q here", err, r.words)
		}
	}
}

// A window that is accepted here must be one that the calendar reads; the other way round, only steps that are larger
// than their field, and words and lists that nobody writes, may differ.
func TestCalendarsAgree(t *testing.T) {
	words := []string{"*", "?", "*/5", "*/40", "0", "1", "5", "7", "12", "23", "31", "30", "29", "60", "feb", "mon", "1-5", "mon-fri", "9-3", "1,2", "10-20/3", "5/2", "*/0", "a", "1/", "-1"}
	r := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 20_000 {
		var fields []string
		for range 5 {
			fields = append(fields, words[r.IntN(len(words))])
		}
		expr := strings.Join(fields, " ")
		_, theirs := calendar.New(calendar.Window(Window{Cron: expr, Duration: time.Hour, Min: 1, Zone: "UTC"}))
		ours := checkCron(expr)
		if larger := slices.Contains(fields, "*/40"); (theirs == nil) != (ours == nil) && !(larger && theirs == nil) {
			t.Fatalf("%s: here %v, the calendar says %v", expr, ours, theirs)
		}
		if ours == nil {
			accepted++
		}
	}
	if accepted < 100 {
		t.Errorf("only %d of the expressions were accepted", accepted)
	}
	for _, w := range cronWords() {
		if _, err := calendar.New(calendar.Window{Cron: w, Duration: time.Hour, Min: 1}); err != nil {
			t.Error(err)
		}
	}
}
