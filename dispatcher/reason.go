package dispatcher

import "time"

// Reason says in numbers why something was decided. It becomes words only when somebody reads it.
type Reason struct {
	Cause Cause
	Model Model // what the forecast came from
	Clip  Clip  // what kept the decision from being larger

	// What was seen.
	Waiting, Leased, Ready, Starting int32 // calls in line and served, containers ready and starting
	Want                             int32 // levels wanted in all
	Level                            int32 // the level that decided
	Gaps                             int32 // idle gaps that its law has seen

	// What was expected.
	Idle     time.Duration // how long the level had been idle
	Expect   time.Duration // from then to the expected use; 0: unknown
	Horizon  time.Duration // how far ahead the decision looked
	Prob     float64       // probability of a use within the horizon
	Rate     float64       // requests per second, for rate models
	Lead     time.Duration // time allowed for a start
	Kappa    time.Duration // price of a cold start
	Hold     float64       // expected cost of holding, container-seconds
	Drop     float64       // expected cost of not holding, container-seconds
	Units    int32         // requests that the container is sized for
	Memory   int64         // bytes booked, freed, or forecast
	Quantile float64       // of the memory forecast, for nodes
}

// Cause is what a decision answers to.
type Cause uint8

// Causes of orders.
const (
	CauseNone     Cause = iota
	CauseWaiting        // calls wait and no container is expected in time
	CauseForecast       // a level is expected to be needed
	CauseMinimum        // the function's floor
	CauseSurplus        // more containers than levels wanted
	CauseIdle           // the planner is silent and the keep-alive ran out
	CauseFailed         // the container failed a request or its start
	CauseMemory         // it ran out of memory
	CauseExpired        // its lease was never returned
	CauseReclaim        // another function needs the memory more
	CauseChanged        // the function's configuration changed
	CauseDrain          // its node is being emptied
	CauseNodeLost       // its node is gone
	CauseCapacity       // containers wait for memory: a node is needed
	CauseNodeIdle       // the node is not needed any more
	CauseShutdown       // the scheduler is stopping
)

var causeNames = [...]string{"none", "calls wait", "forecast", "minimum", "surplus", "idle", "failed", "out of memory", "lease expired",
	"reclaimed", "changed", "node drains", "node lost", "capacity", "node idle", "shutdown"}

// String gives the short name used in records and scenarios.
func (c Cause) String() string { return causeNames[c] }

// Model is the kind of forecast behind a decision.
type Model uint8

// Models of a Reason.
const (
	ModelNone Model = iota
	ModelGap
	ModelReactive
	ModelEWMA
	ModelHolt
	ModelPGMix
)

// String gives the name used by --policy.
func (m Model) String() string {
	return [...]string{"none", "gap", "reactive", "ewma", "holt", "pgmix"}[m]
}

// Clip is a bound that a decision ran into.
type Clip uint8

// Bounds of a Reason.
const (
	ClipNone    Clip = iota
	ClipMemory       // no node has room
	ClipNodes        // the cap on nodes is reached
	ClipMax          // the function's ceiling
	ClipBackoff      // starts of the function failed lately
	ClipUnknown      // nothing is known of the function yet: a few containers serve its first burst
)

var clipNames = [...]string{"", "memory", "nodes", "max", "backoff", "unknown"}

// String gives the short name used in records; empty for none.
func (c Clip) String() string { return clipNames[c] }
