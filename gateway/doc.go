// Package gateway is the API server: it lets people and programs call functions,
// over the contract's gRPC service and over HTTP.
//
// A call is three calls of others: a container is acquired at the scheduler, the
// function is invoked at the container's node, and the container is returned.
// The one rule that shapes the package is that what was acquired is returned
// exactly once, whatever happens in between, because a lease that is forgotten
// holds memory which nobody uses until its time is up. So from the moment a
// lease is had, the call belongs to a goroutine of its own, which ends with the
// return; a caller who leaves only stops listening. A function is not stopped by
// its caller's leaving, since the contract has no word for it, and a container
// must not be called free while it still works.
//
// The gateway keeps no queue and picks no container: that is the scheduler's.
// An HTTP call hands a function its body and nothing else; the contract carries
// neither path, query nor headers to a function.
package gateway
