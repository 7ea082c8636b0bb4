package minifaas

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/cluster"
)

var errClosed = errors.New("the driver is closed")

// kind is which of the contract's methods a call is of.
type kind uint8

const (
	usage kind = iota
	reserve
	release
	create
	remove
	stats
)

// call says what was tried, for messages: op subject at at.
type call struct {
	op, subject, at string
	kind            kind
}

// fail wraps an error of ours.
func (c call) fail(err error) error {
	return fmt.Errorf("minifaas: %s %s at %s: %w", c.op, c.subject, c.at, err)
}

// failed turns an error of the wire into one of ours. The words of the peer are kept, its code is not: ctx is the
// one that the call was made with.
func (c call) failed(ctx context.Context, err error) error {
	s := status.Convert(err)
	means := c.meaning(s.Code())
	switch {
	case means == nil && s.Code() == codes.Canceled && ctx.Err() == nil:
		means = errClosed // nobody else cancels
	case means == nil && ctx.Err() != nil:
		means = ctx.Err()
	}
	if means == nil {
		return c.fail(fmt.Errorf("%s (code %d)", s.Message(), s.Code()))
	}
	if c.kind <= release && errors.Is(means, context.DeadlineExceeded) {
		return c.fail(fmt.Errorf("%w: check that it runs and that this is its address: %s", means, s.Message()))
	}
	return c.fail(fmt.Errorf("%w: %s", means, s.Message()))
}

// meaning is the error of package cluster that a code stands for, or nil. The same code says different things at
// different places.
func (c call) meaning(code codes.Code) error {
	switch code {
	case codes.ResourceExhausted:
		switch c.kind {
		case reserve:
			return cluster.ErrNoNode
		case create:
			return cluster.ErrOutOfMemory
		}
	case codes.NotFound:
		if c.kind == release {
			return cluster.ErrNodeLost // the node is what was not found
		}
		if c.kind >= create {
			return cluster.ErrNotFound
		}
	case codes.Unavailable:
		if c.kind >= create {
			return cluster.ErrNodeLost
		}
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded // the peer's own deadline, or ours by its clock
	}
	return nil
}

// suspect reports whether a connection should not be used for the next call: it failed, or it may be one to a
// machine that is gone without a word, over which every call would hang until its deadline.
func suspect(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}
