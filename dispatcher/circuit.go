package dispatcher

import (
	"errors"
	"fmt"
	"time"
)

// openAfter is how many starts in a row must fail for calls not to wait any more.
const openAfter = 5

// broken says whether the function's calls are refused at once: nothing is there to serve them, and the last starts
// failed. It ends with the first start that succeeds, of which one is tried for a call after each pause.
func (f *function) broken() bool { return f.failures >= openAfter && f.ready == 0 }

// refuseBroken refuses a call of a broken function, unless a trial is due: that call waits for it.
func (f *function) refuseBroken() error {
	if !f.broken() || f.now >= f.retryAt && f.starting.n == 0 && f.line.n == 0 {
		return nil
	}
	return f.whyBroken()
}

func (f *function) whyBroken() error {
	err := fmt.Errorf("%w: %q, %d times in a row, last: %s", ErrNoStart, f.cfg.Name, f.failures, f.lastFailed)
	return &laterError{err, max(f.retryAt-f.now, f.core.opts.RetryMin)}
}

// laterError is an error that may be gone after a while.
type laterError struct {
	error
	after time.Duration
}

func (e *laterError) Unwrap() error { return e.error }

// RetryAfter is when it makes sense to repeat a call that failed so; false where nothing is known of that.
func RetryAfter(err error) (time.Duration, bool) {
	if later, ok := errors.AsType[*laterError](err); ok {
		return later.after, true
	}
	return 0, false
}

// lineFull says that a line is as long as may be, and when part of it will be gone.
func (f *function) lineFull(err error) error {
	const least, most = 100 * time.Millisecond, 10 * time.Second
	after := time.Second
	if places := f.covered + f.startingRoom(); places > 0 && f.service != nil {
		after = f.drainTime(places) / 2
	}
	return &laterError{err, min(max(after, least), most)}
}
