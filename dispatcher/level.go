package dispatcher

import "time"

// SetLevel takes a planner's word on how many levels of a function's occupancy are to be covered.
func (c *Core) SetLevel(now time.Duration, l Level, fx *Effects) error {
	f := c.fn(l.Fn)
	if f == nil || l.Want < 0 {
		return ErrInvalid
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
