package gateway

import (
	"context"
	"errors"
)

// Errors of a call. Each is wrapped with what was called and what to do.
var (
	// ErrUnknownFunction means that the catalog has no such function.
	ErrUnknownFunction = errors.New("unknown function")
	// ErrInvalid means that the call makes no sense as it is.
	ErrInvalid = errors.New("invalid call")
	// ErrTooLarge means that the body of the call is larger than may be.
	ErrTooLarge = errors.New("body too large")
	// ErrUnavailable means that there is no container now, or nobody to ask for one: try again.
	ErrUnavailable = errors.New("unavailable")
	// ErrDeadline means that no container came, or the function did not end, in time.
	ErrDeadline = errors.New("deadline exceeded")
	// ErrFailed means that the function was called but could not answer.
	ErrFailed = errors.New("function failed")
)

// errNotReached means that the function was not called, as far as its node lets us know, so that another container
// may be tried.
var errNotReached = errors.New("the function was not reached")

// why is the error behind a context that ended.
func why(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrDeadline
	}
	return ctx.Err()
}
