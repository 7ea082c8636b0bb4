// Package prewarm turns what was seen of each function into the number of
// containers and nodes to hold.
//
// A Planner is pure: told the news and the time, it answers with levels and a
// node target, the same live, in tests and in the simulator. It decides by
// price, not by coverage: kappa says what a cold start is worth in idle
// container-time. The Controller is the loop around it that keeps rounds and
// due instants.
//
// The planner never says which container, or where: that is the dispatcher's.
package prewarm
