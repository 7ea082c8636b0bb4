package gap

import "time"

// Cascade follows how many calls meet a cold level when one does. A level that is not there is missed by every
// call that would have used it until a start is done, not by one. The zero value expects one.
type Cascade struct {
	more float32       // EWMA of the needs that followed within a start time of a first one
	n    int32         // needs in the window, the first included; 0: no window
	from time.Duration // when the window opened
}

// cascadeGain is the weight of the newest window.
const cascadeGain = 0.1

// Need tells of a need of the level at now, which ended an idle gap, when a start takes start. A need that ends a
// gap longer than two starts opens a window of one start: it and the needs that follow within it would all have
// been missed, had the level not been held.
func (c *Cascade) Need(now, gap, start time.Duration) {
	if c.n > 0 && now-c.from <= start {
		c.n++
		return
	}
	if c.n > 0 {
		c.more += cascadeGain * (float32(c.n-1) - c.more)
		c.n = 0
	}
	if gap > 2*start {
		c.n, c.from = 1, now
	}
}

// Calls is how many calls to reckon with per miss, at least 1.
func (c *Cascade) Calls() float64 { return 1 + float64(c.more) }
