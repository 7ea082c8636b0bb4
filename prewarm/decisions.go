package prewarm

import "github.com/forewarm/forewarm/dispatcher"

// Decisions is what a Planner wants from now on. It is owned by the caller, who reads it and passes it in again.
type Decisions struct {
	Levels   []dispatcher.Level // functions whose wanted level changed, or of whose last events the planner has now spoken
	Nodes    dispatcher.NodeTarget
	HasNodes bool // Nodes is to be applied
}

// Reset empties d and keeps its memory.
func (d *Decisions) Reset() {
	d.Levels = d.Levels[:0]
	d.Nodes, d.HasNodes = dispatcher.NodeTarget{}, false
}
