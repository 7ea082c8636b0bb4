// Package nodeservoceproto holds the messages and stubs of the NodeService of
// the mini-faas contract, through which forewarm starts and removes containers.
// The name is misspelt on the wire, so it is misspelt here.
//
// All but this comment is generated from node_service.proto.
package nodeservoceproto
