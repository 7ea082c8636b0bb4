// Package metrics shows a running scheduler to Prometheus, and serves the admin port.
//
// A [Collector] counts nothing itself. The dispatcher counts in each function's own shard and the planner in its
// rounds; both are read, and folded into series, only while somebody scrapes. So the path of a call knows nothing
// of this package, and a scheduler that nobody scrapes pays nothing. Only what the core does not do itself, such as
// carrying out orders and writing to the disk, is counted here, in an [Outside]; the same Collector tells it too, so
// that there is one exposition, scraped or pushed.
//
// Series of functions are capped: names come from callers, and there may be 100,000 of them. Those with the most
// calls have series of their own, all others share those of function="other" (see [Options] and top.go). Whatever
// is scraped stands in one table, list.go, from which docs/metrics.md is written.
//
// It will never decide anything, and never write to what it reads.
package metrics
