package dispatcher

import (
	"fmt"
	"time"
)

// SetLevel takes a planner's word on how many levels of a function's occupancy are to be covered.
func (c *Core) SetLevel(now time.Duration, l Level, fx *Effects) error {
	f := c.fn(l.Fn)
	if f == nil {
		return fmt.Errorf("%w: level of function %d, which was never called", ErrInvalid, l.Fn)
	}
	if l.Want < 0 {
		return fmt.Errorf("%w: %d levels of function %d are wanted, it must not be negative", ErrInvalid, l.Want, l.Fn)
	}
	if c.closing.Load() {
		return nil
	}
	f.mu.Lock()
	f.clamp(now)
	f.want, f.worth, f.whyFor = l.Want, l.Worth, l.Why
	f.seen = max(f.seen, l.Seen)
	f.balance(fx)
	f.mu.Unlock()
	c.settle(now, fx)
	return nil
}
