// Package minifaas drives a cluster that speaks the mini-faas contract: it asks
// the resource manager for nodes, and nodes for containers.
//
// The cluster may be anybody's, so its replies are checked before they are
// believed, and what it answers becomes one of the few errors of package
// cluster that a decision can follow from. Types and codes of the wire stay
// inside: a code that leaked would reach the callers of functions as if it were
// about their own call.
//
// The driver decides nothing and remembers nothing but connections. In
// particular it does not ask again when there is no node: when to do so depends
// on who waits.
package minifaas
