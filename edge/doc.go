// Package edge is what every listening port of ours has in common: where it may listen, how many may connect, TLS that
// is read again when its files change, tokens, limits, who a caller is, and how names from outside may be written.
//
// The choice that carries the rest: what is not said is refused. A port stays on loopback, a method that is not known
// needs the right to write, a token file without tokens is an error and not an open door, and a Port that has TLS
// cannot be served without it, since the listener itself speaks it. Nothing here decides what a call means.
package edge
