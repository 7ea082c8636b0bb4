// Package schedulerproto holds the messages and stubs of the Scheduler service
// of the mini-faas contract, the service that forewarm implements.
//
// All but this comment is generated from scheduler.proto.
package schedulerproto
