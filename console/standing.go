package console

import (
	"fmt"
	"strings"

	"github.com/forewarm/forewarm/prewarm"
)

// Standing says what holds for a function beside its forecasts: a pause, bounds, the mode, a fall back to keep-alive.
// It is empty where nothing does.
func Standing(f *prewarm.Forecast, m prewarm.Mode) string {
	if f.Paused {
		return "it is paused: it takes no calls and holds nothing"
	}
	var parts []string
	if b := bounds(f.Floor, f.Ceiling); b != "" {
		parts = append(parts, b)
	}
	switch {
	case m == prewarm.Shadow:
		parts = append(parts, "the mode is shadow: keep-alive decides, and forecasts would hold "+would(f))
	case m == prewarm.Off:
		parts = append(parts, "the mode is off: keep-alive decides, and nothing is forecast")
	case f.Fallback:
		parts = append(parts, "its forecasts cost more than keep-alive would have, so that keep-alive decides for a while; forecasts would hold "+would(f))
	}
	return strings.Join(parts, "; ")
}

func bounds(floor, ceiling int) string {
	switch {
	case floor > 0 && floor == ceiling:
		return fmt.Sprintf("it is pinned to %s for now", count(int32(floor), "level", "levels"))
	case floor > 0 && ceiling > 0:
		return fmt.Sprintf("its bounds are %d to %s for now", floor, count(int32(ceiling), "level", "levels"))
	case floor > 0:
		return fmt.Sprintf("its floor is %s for now", count(int32(floor), "level", "levels"))
	case ceiling > 0:
		return fmt.Sprintf("its ceiling is %s for now", count(int32(ceiling), "level", "levels"))
	}
	return ""
}

// would is what forecasts would hold, and by which law.
func would(f *prewarm.Forecast) string {
	s := count(int32(f.Ahead), "level", "levels")
	if f.Ahead != f.Want {
		s += fmt.Sprintf(" where %d are held", f.Want)
	}
	return s
}
