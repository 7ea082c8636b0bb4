// Package promtest asks the engine of Prometheus whether every expression of the rules and of the dashboard finds
// something in what a real run shows.
//
// It is a module of its own, since Prometheus as a library brings more with it than all of forewarm. It holds tests
// only, and will never be imported.
package promtest
