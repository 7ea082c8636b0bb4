// Package local is a cluster on one machine: a resource manager and nodes that
// speak the mini-faas contract, and containers that are real processes.
//
// A node is a process of its own, and so is each container: its own session, its
// own empty working folder, a nearly empty environment, and limits of memory and
// CPU where the machine allows cgroups. A function is any program that answers
// HTTP POST on $PORT.
//
// The one design choice is how nothing is left behind, whatever is killed with
// -9. Each node runs below a small watchdog, and each holds one end of a pipe to
// the next: manager, watchdog, node. A pipe ends when its holder dies, however
// it dies, and then everything below goes. Where the machine allows it, a
// watchdog is also the first process of a PID namespace, so that the kernel
// itself ends all that ran below it; elsewhere it adopts orphans and hunts
// descendants down. If there, without a namespace, manager, watchdog and node are
// all killed at once, the next start clears what they left.
//
// This package never isolates functions from each other: they share the user,
// the file system and the network of the node. It is for trying things out, for
// tests and for trusted code, not for strangers' code.
package local
