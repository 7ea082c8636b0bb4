// Package local is a cluster on one machine: a resource manager and nodes that
// speak the mini-faas contract, and containers that are real processes.
//
// A node is a process of its own, and so is each container: its own session, its
// own working folder, a nearly empty environment, and limits of memory, CPU and
// processes where the machine allows cgroups. A function is any program that
// answers HTTP POST on $PORT.
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
// Where the node is root's, each container is a user of its own, with no groups,
// no capabilities and no way to get any, with limits on processes, open files and
// core dumps, and with nothing inherited but its three standard descriptors and
// $PATH. So it cannot signal, trace or read another, the node, or anything that
// is not open to everybody, and can write only to its own folder, which goes with
// it, and to what everybody may write to. In a PID namespace it does not even see
// other processes. In return a function's program and its files must be open to
// everybody: files readable, programs executable, and the folders above them too
// (chmod o+rX). Without root, or without what root needs for that, the log says
// so, and containers run as the node's user, who can do all that to all of them.
//
// This package never isolates the network: functions reach each other, the node
// and whatever else listens on the machine or can be reached from it; among them
// is the node's own service, which asks nobody who they are. Nor does it separate
// file systems, hide what everybody may read, bound the size of a working folder,
// or remove what a function leaves in /tmp or /dev/shm. It is for one's own code
// and its faults, not for strangers' code.
package local
