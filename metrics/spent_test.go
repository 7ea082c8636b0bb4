package metrics

import (
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// TestSpentNeverFalls: to Prometheus a counter that falls has begun anew.
func TestSpentNeverFalls(t *testing.T) {
	core := manyFunctions(2)
	plan := &fakePlanner{forecasts: map[dispatcher.FnID]prewarm.Forecast{}}
	c := newCollector(t, Options{Core: core, Planner: plan, Now: noon, Functions: 1})
	for _, tt := range []struct {
		claim       string
		live0, live float64 // of two functions, one of which is in other
		want        float64
	}{
		{"both count", 10, 5, 15},
		{"one is corrected", 9, 5, 15},
		{"what was corrected does not count twice", 10, 5, 15},
		{"beyond it counts", 12, 6, 18},
		{"an account that begins anew counts from zero", 1, 6, 19},
		{"and goes on", 3, 6, 21},
	} {
		plan.forecasts[0] = prewarm.Forecast{Spent: spentAccount(tt.live0, 0, tt.live0)}
		plan.forecasts[1] = prewarm.Forecast{Spent: spentAccount(tt.live, 0, 0)}
		families := gather(t, c)
		if got := value(t, families, "forewarm_cost_seconds_total", "book=live"); got != tt.want {
			t.Errorf("%s: %v s spent, want %v", tt.claim, got, tt.want)
		}
	}
}

// TestForecastsOfTheRest: what can be summed is, of a price there is a mean, of a ratio nothing.
func TestForecastsOfTheRest(t *testing.T) {
	core := manyFunctions(4) // the last has the most calls and its own series
	plan := &fakePlanner{forecasts: map[dispatcher.FnID]prewarm.Forecast{}}
	for i, kappa := range []float64{10, 20, 60, 100} {
		plan.forecasts[dispatcher.FnID(i)] = prewarm.Forecast{Ahead: i, Kappa: time.Duration(kappa) * time.Second, Fallback: i < 2, Spent: spentAccount(1, 1, 4)}
	}
	families := gather(t, newCollector(t, Options{Core: core, Planner: plan, Now: noon, Functions: 1}))
	for _, tt := range []struct {
		metric, labels string
		want           float64
	}{
		{"forewarm_kappa_seconds", "function=other", 30},
		{"forewarm_kappa_seconds", "function=function-3", 100},
		{"forewarm_fallback", "function=other", 2},
		{"forewarm_fallback", "function=function-3", 0},
		{"forewarm_forecast_levels", "function=other", 3},
		{"forewarm_saved_ratio", "function=function-3", .75},
	} {
		if got := value(t, families, tt.metric, tt.labels); got != tt.want {
			t.Errorf("%s{%s} is %v, want %v", tt.metric, tt.labels, got, tt.want)
		}
	}
	if n := len(families["forewarm_saved_ratio"].Metric); n != 1 {
		t.Errorf("%d functions have a saved ratio, want the one that is listed", n)
	}
}
