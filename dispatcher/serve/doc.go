// Package serve is the shell around the dispatcher's core: it owns the clock, blocks callers, carries orders out
// and feeds their results back, and speaks the contract.
//
// Everything that is decided is decided in the core. The shell never waits for the cluster while it holds
// anything that a caller needs.
package serve
