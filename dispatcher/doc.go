// Package dispatcher hands out warm containers and decides what should exist.
//
// A Core is told what happened (a call came, a container started, a node was
// lost) and when, and answers with leases and with orders to the cluster. It is
// deterministic and synchronous: no clock, no goroutine, no log, no wire. The
// shell in dispatcher/serve blocks callers and carries orders out; the simulator
// does the same in virtual time, with the very same Core.
//
// The Core is the only writer of what should exist. A planner says through
// SetLevel and SetNodes how much is wanted; which container is started, dropped
// or given up, and where, is decided here alone.
//
// Locks: a function's mutex, then the ledger's, never the other way. Nothing that
// needs a second function's mutex is done under the first: it becomes a follow-up
// in Effects, settled before the method returns. On the warm path only the
// function's own mutex is taken, and nothing is allocated.
package dispatcher
