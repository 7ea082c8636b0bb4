package model

import (
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// Work is what one call asks of its container. See the package's documentation for how long it takes.
type Work struct {
	Before  time.Duration // of waiting before it computes
	CPU     time.Duration // vCPU-time
	After   time.Duration // of waiting after it has computed
	Memory  int64         // bytes that it adds to the container while it runs
	Timeout time.Duration // after which it fails; 0: never
}

// Quota is the share of a processor, in vCPU, that a container of so many bytes gets.
func Quota(memory int64) float64 { return cluster.CPUPerGiB * float64(memory) / float64(cluster.GiB) }

// WorkOf is the work of a call that takes t when it is alone in a container of so many bytes, and computes for a
// share busy (0 to 1) of that time. What it waits, a share before lies ahead of its computing.
func WorkOf(t time.Duration, memory int64, busy, before float64) Work {
	cpu := time.Duration(float64(t) * busy * min(1, Quota(memory)))
	wait := float64(t) * (1 - busy)
	w := Work{Before: time.Duration(wait * before), CPU: cpu}
	w.After = time.Duration(wait) - w.Before
	return w
}

// Outcome is how a call ended.
type Outcome struct {
	Took      time.Duration
	MaxMemory int64 // high-water mark of its container's process, bytes
	Err       error // nil, ErrTimeout, ErrRemoved, or wraps an error of package cluster
}
