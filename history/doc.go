// Package history reads what was called in the past, from a file or from a Prometheus, so that a planner's first day is
// not a reactive one.
//
// A file has one row a call, or a row for so many, and keeps their times: of it laws of gaps are learnt as if the
// planner had been there. A Prometheus has counts per step only. They are spread evenly inside the step, so that what
// is learnt of it is rates and slow rhythms; of periods and bursts below a step it tells nothing.
//
// Memory is bounded whatever the source holds: the latest calls of each function are kept, and it is said how many were
// not. Nothing here decides anything, nor is anything read again once a run has begun.
package history
