package model

import (
	"errors"
	"time"
)

// Errors of calls that did not end by themselves.
var (
	// ErrTimeout means that the call took longer than its timeout.
	ErrTimeout = errors.New("timed out")
	// ErrRemoved means that the container was removed under the call.
	ErrRemoved = errors.New("container removed")
	// ErrStartFailed means that a container did not come up, by Options.StartFails or StartHangs.
	ErrStartFailed = errors.New("start failed")
	// ErrAway means that the manager did not answer, by Options.Outages.
	ErrAway = errors.New("the manager does not answer")
)

// call is a running call.
type call struct {
	box   *box
	work  Work
	from  time.Duration
	done  func(Outcome)
	ended bool
	place int // in box.calls

	tag   float64 // value of box.served at which its computing is done, vCPU-seconds
	index int     // in box.computing; -1: it does not compute
}

// callHeap orders the computing calls of a container by the end of their computing.
type callHeap []*call

func (h callHeap) Len() int           { return len(h) }
func (h callHeap) Less(i, j int) bool { return h[i].tag < h[j].tag }
func (h callHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *callHeap) Push(x any) {
	c := x.(*call)
	c.index = len(*h)
	*h = append(*h, c)
}

func (h *callHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	c.index = -1
	return c
}
