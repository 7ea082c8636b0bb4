// Package forewarmv1 holds the messages and stubs of the Forewarm service,
// through which an operator asks a running scheduler what it decided, why, and
// what it expects next.
//
// All but this comment is generated from forewarm.proto.
package forewarmv1
