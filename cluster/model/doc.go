// Package model is a cluster in virtual time: machines, containers and calls that take as long as they would,
// without anything running. A whole day of a scheduler passes in seconds, and the same seed gives the same day.
//
// A Cluster is driven by a Loop, a heap of events. Nothing here reads a clock, starts a goroutine or uses the
// global random source; every operation answers through a callback that the Loop runs later, never at once, so
// that a caller is not called back in the middle of its own work.
//
// # The manager
//
// Options.Nodes machines are to be had at first. After each reservation one more comes within Options.Refill,
// until the manager owns Options.Cap; a released machine is to be had again after the same time, under its old
// name with a new live id. When there is none, Reserve fails at once with cluster.ErrNoNode. A machine of 4 GiB
// sells 3 GiB: a container whose limit does not fit into what is left of it is refused.
//
// # Faults
//
// A share of the starts fails, and another hangs: whoever asked for it hears nothing until he gives it up, and its
// memory is taken until then. Machines die by themselves, at a rate. The manager has outages, at set times: it has no
// machine to give, or does not answer.
//
// # Processor
//
// A call waits (for a disk, a peer, a timer), then computes, then waits again. Waiting costs no processor and
// takes the same time however crowded the place is. Computing is so many vCPU-seconds, done at the rate that the
// call is given, which changes whenever another call of the same machine begins or ends computing:
//
//   - a container has a quota of 0.67 vCPU for each GiB of its memory limit, shared equally by the calls that
//     compute in it at that moment, at most 1 vCPU each;
//   - a machine has Options.VCPU, shared among its containers so that none gets more than it can use, and none
//     that is left short gets less than another (max-min fairness).
//
// So a call that computes for C vCPU-seconds and waits for W takes W + C/q alone in a container of quota q < 1,
// about W + nC/q among n that compute together, and never less than W + C. WorkOf turns a measured execution
// time into such a call.
//
// # Memory
//
// A container uses a base while it is there, and each call adds its own from its beginning to its end. When the
// sum passes the limit, the container is broken: all its calls fail for want of memory and it serves none any more,
// until it is removed. What a call reports as its highest memory is the process's high-water mark: it
// includes what others used before it and beside it, and never falls.
package model
