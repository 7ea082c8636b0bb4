// Package gap learns when a function's containers are needed again, and says from that when to hold, drop and
// restart them.
//
// A function's occupancy (calls being served, as if each had been served at once) is cut into levels: level k is
// needed when occupancy goes from k to k+1 and falls idle when it goes back. Every level learns a Law of its own
// idle gaps: for 30 log-spaced bins of idle time, the probability that the gap ends in the bin, given that it
// reached it. Where the gaps inside a bin lie close together, as a timer's do, the bin is narrowed to where they
// lie (an atom). From the law follows, by optimal stopping, a Schedule: in which spans of its idle time a
// container is held for the level. Levels ties the levels of one function together.
//
// An unknown level is held for kappa+L, what a missed call costs, and then dropped: the rule that never pays more
// than twice what a clairvoyant keep-alive pays (ski rental). That rule is the prior, so that there is no mode
// switch between not knowing and knowing.
//
// Nothing here reads the clock, logs, locks or starts goroutines. The caller hands in times, which count from any
// fixed moment, and guards a Levels by its own lock. How long a start takes, what a cold start is worth, and which
// container to drop are not this package's business.
package gap
