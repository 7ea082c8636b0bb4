package console

import (
	"testing"

	"github.com/forewarm/forewarm/prewarm"
)

func TestStanding(t *testing.T) {
	for _, tt := range []struct {
		claim string
		f     prewarm.Forecast
		mode  prewarm.Mode
		want  string
	}{
		{"nothing but forecasts says nothing", prewarm.Forecast{Want: 2, Ahead: 2}, prewarm.On, ""},
		{"a pause goes before all", prewarm.Forecast{Paused: true, Floor: 2}, prewarm.Shadow, "it is paused: it takes no calls and holds nothing"},
		{"a pin", prewarm.Forecast{Floor: 2, Ceiling: 2}, prewarm.On, "it is pinned to 2 levels for now"},
		{"a floor", prewarm.Forecast{Floor: 1}, prewarm.On, "its floor is 1 level for now"},
		{"a ceiling", prewarm.Forecast{Ceiling: 3}, prewarm.On, "its ceiling is 3 levels for now"},
		{"both", prewarm.Forecast{Floor: 1, Ceiling: 3}, prewarm.On, "its bounds are 1 to 3 levels for now"},
		{"a shadow that differs", prewarm.Forecast{Want: 1, Ahead: 3}, prewarm.Shadow,
			"the mode is shadow: keep-alive decides, and forecasts would hold 3 levels where 1 are held"},
		{"a shadow that agrees", prewarm.Forecast{Want: 1, Ahead: 1}, prewarm.Shadow, "the mode is shadow: keep-alive decides, and forecasts would hold 1 level"},
		{"off", prewarm.Forecast{}, prewarm.Off, "the mode is off: keep-alive decides, and nothing is forecast"},
		{"a fall back", prewarm.Forecast{Fallback: true, Want: 1}, prewarm.On,
			"its forecasts cost more than keep-alive would have, so that keep-alive decides for a while; forecasts would hold no level where 1 are held"},
	} {
		if got := Standing(&tt.f, tt.mode); got != tt.want {
			t.Errorf("%s: Standing(%+v, %v) = %q, want %q", tt.claim, tt.f, tt.mode, got, tt.want)
		}
	}
}
