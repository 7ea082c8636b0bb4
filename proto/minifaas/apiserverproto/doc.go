// Package apiserverproto holds the messages and stubs of the APIServer service
// of the mini-faas contract. Forewarm does not serve it; load generators and
// stand-ins for the API server do.
//
// All but this comment is generated from apiserver.proto.
package apiserverproto
