// Package prewarm turns what was seen of each function into the number of
// containers and nodes to hold.
//
// A Planner is pure: told the news and the time, it answers with levels and a
// node target, the same live, in tests and in the simulator. It decides by
// price, not by coverage: kappa says what a cold start is worth in idle
// container-time. The Controller is the loop around it that keeps rounds and
// due instants.
//
// People have the last word: floors, ceilings, pauses and calendars (Bounds) bound
// what is forecast, and the Mode says whether forecasts decide at all. An Account
// holds against each function's forecasts what a plain keep-alive would have cost
// for the same calls; where they lose, the keep-alive takes over for a while.
//
// The planner never says which container, or where: that is the dispatcher's.
package prewarm
