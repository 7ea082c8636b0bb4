package dispatcher

import (
	"errors"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// FnID, NodeID and ContainerID are dense numbers that the core hands out; a number is not used twice in a run.
type (
	FnID        uint32
	NodeID      uint32
	ContainerID uint32
)

// Errors of the core. The edge turns them into codes.
var (
	// ErrInvalid is wrapped by every refusal of a malformed call.
	ErrInvalid = errors.New("invalid request")
	// ErrLineFull means that as many calls of the function wait as may.
	ErrLineFull = errors.New("too many calls are waiting")
	// ErrNoStart means that the function's starts failed several times in a row: calls are refused until one succeeds.
	ErrNoStart = errors.New("the function's containers do not start")
	// ErrClosing means that the scheduler is stopping.
	ErrClosing = errors.New("the scheduler is stopping")
	// ErrDeadline means that no container could be had before the call's deadline.
	ErrDeadline = errors.New("no container before the deadline")
	// ErrUnknownLease means that no lease of this request and container is live: nothing was changed.
	ErrUnknownLease = errors.New("no such lease")
	// ErrUnknownOrder means that a result names an order that is not outstanding: nothing was changed.
	ErrUnknownOrder = errors.New("no such order")
	// ErrUnknownNode means that a report names a node that is not ours: nothing was changed.
	ErrUnknownNode = errors.New("no such node")
)

// Request is a call's claim on a container.
type Request struct {
	ID          string // request id; a second Acquire with a live one gets the same lease
	Function    cluster.Function
	Concurrency int           // requests that one container may hold at once; 0: as many as measurements allow
	Deadline    time.Duration // time since the start of the run; 0: Options.MaxWait from now
	Waiter      any           // handed back in the Grant; the core never looks inside
}

// Served says how a call met its container.
type Served uint8

// A call is Warm when it was leased at once, Waited when a container came free for it, and Cold when the
// container that served it was not ready when the call arrived, whoever ordered its start.
const (
	Warm Served = iota
	Waited
	Cold
)

// String gives the word used in metrics, headers and reports.
func (s Served) String() string { return [...]string{"warm", "waited", "cold"}[s] }

// Lease is one request's right to a container, from Acquire to Return.
type Lease struct {
	Node        *cluster.Node // never changed once handed out
	ContainerID string        // the node's name of the container
	Container   ContainerID
	Fn          FnID
	Served      Served
	Wait        time.Duration // time spent in the waiting line
}

// Ticket is a place in a waiting line.
type Ticket struct {
	Fn  FnID
	Seq uint64 // grows by one with every call of the function; 0: no ticket

	call *call
}

// Grant ends a wait: with a lease, or with an error.
type Grant struct {
	Ticket Ticket
	Waiter any // from the Request
	Lease  Lease
	Err    error
	Shared bool // several Acquires of the request got this lease: none of them returns it for its own sake
}

// OrderKind says what is to be done.
type OrderKind uint8

// Orders to the cluster.
const (
	StartContainer OrderKind = iota
	StopContainer
	ReserveNode
	ReleaseNode
)

// String gives the word used in records and metrics.
func (k OrderKind) String() string { return [...]string{"start", "stop", "reserve", "release"}[k] }

// Order is something that the cluster must do. Whoever carries it out reports the result with its ID, once.
// Which fields are set depends on Kind.
type Order struct {
	ID          uint64
	Kind        OrderKind
	Fn          FnID
	NodeID      NodeID
	Container   ContainerID
	NotBefore   time.Duration     // time since the start of the run; a retry waits until then
	Account     string            // ReserveNode: on whose behalf
	Node        *cluster.Node     // where; nil for ReserveNode
	Function    *cluster.Function // StartContainer: what to run
	Spec        cluster.Container // StartContainer: how it is to be named and sized
	ContainerID string            // StopContainer: the node's name of the container; "" when its start never answered
	Slot        int               // StartContainer: place in Options.Leases, or -1
	Concurrency int               // StartContainer: as in the Request
	Why         Reason
}

// Effects is what a call of the core brought about. It is owned by the caller, who passes it in, reads Grants
// and Orders, and resets it before the next use.
type Effects struct {
	Grants []Grant
	Orders []Order
	Hurry  bool // the planner should read the news soon

	work []work // follow-ups that need another function's lock; drained before the core's method returns
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Grants)
	clear(e.Orders)
	e.Grants, e.Orders, e.Hurry = e.Grants[:0], e.Orders[:0], false
}

// Returned is a finished request, as its caller tells it.
type Returned struct {
	RequestID   string
	ContainerID string
	Duration    time.Duration // execution time; negative is refused
	MaxMemory   int64         // bytes that the container's process used at most; 0: not measured
	Failed      bool          // the container must not be used again
	OutOfMemory bool          // why it failed
	Unused      bool          // nothing ran: the grant came when its caller had gone
}

// Failure is an order that could not be carried out.
type Failure struct {
	Err      string // in words, for records
	NoNode   bool   // ReserveNode: the manager has none now
	NodeLost bool   // the node is gone
	Memory   bool   // the node had no memory for it
	Fatal    bool   // trying again cannot help: waiting calls are told
}

// Level is how many units of a function's occupancy a planner wants covered by containers, from now on.
type Level struct {
	Fn    FnID
	Want  int     // occupancy seen plus the idle levels worth holding
	Seen  uint64  // News.Seq up to which the planner had read when it decided
	Worth float64 // of the least of the wanted idle levels: cost per second of not having it, over the cost of having it
	Why   Reason
}

// NodeTarget is how many nodes a planner wants, from now on.
type NodeTarget struct {
	Want int // nodes held or being reserved, in all
	Why  Reason
}
