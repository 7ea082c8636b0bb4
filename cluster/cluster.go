// Package cluster says what a node, a container and a function are.
//
// It holds types only, no wire and no behaviour: the dispatcher decides over
// them, and the drivers in the folders below carry the decisions out (minifaas
// speaks the contract, local runs real processes, model lives in virtual time).
package cluster

import (
	"errors"
	"time"
)

// Errors that a driver wraps, so that a decision can follow from them.
var (
	// ErrNoNode means that the manager has no node to give at the moment: ask again later.
	ErrNoNode = errors.New("no node available")
	// ErrNodeLost means that the node cannot be reached or is no longer ours.
	ErrNodeLost = errors.New("node lost")
	// ErrNotFound means that the node does not know the container.
	ErrNotFound = errors.New("container not found")
	// ErrOutOfMemory means that the node refused or killed a container for want of memory.
	ErrOutOfMemory = errors.New("out of memory")
)

// Units of memory in bytes.
const (
	MiB = int64(1) << 20
	GiB = int64(1) << 30
)

// CPUPerGiB is the share of a processor (vCPU) that comes with each GiB of a container's memory.
const CPUPerGiB = 0.67

// Node is a reserved machine, as its manager described it.
type Node struct {
	ID      string // the manager's name for it
	Address string // IP or host, no port
	Port    int64  // of the node's service
	Memory  int64  // bytes that containers may book
}

// Function is what a container runs. Account and Name identify it; a change of the rest is a new generation.
type Function struct {
	Account string
	Name    string
	Handler string
	Memory  int64         // bytes that one request may use
	Timeout time.Duration // after which a call is ended
}

// Container is one started container, as asked for.
type Container struct {
	Name   string // unique, chosen by us
	Memory int64  // limit in bytes: the function's memory times the requests that it is sized for
}

// NodeStats is what a node measured of itself. A zero TotalMemory means "not reported".
type NodeStats struct {
	TotalMemory int64   // bytes
	UsedMemory  int64   // bytes
	CPU         float64 // percent of one processor, 0..200 on two cores
}

// ContainerStats is what a node measured of one container.
type ContainerStats struct {
	ID         string  // the node's name for it
	Memory     int64   // limit, bytes
	UsedMemory int64   // bytes
	CPU        float64 // percent of one processor
}

// Stats is one reading of a node.
type Stats struct {
	Node       NodeStats
	Containers []ContainerStats // nil when the node lists none, which proves nothing
	LiveID     string           // changes when a machine is handed out anew
	Owner      string           // account that reserved it
}
