// Package resourcemanagerproto holds the messages and stubs of the
// ResourceManager service of the mini-faas contract, which lends forewarm its
// nodes.
//
// All but this comment is generated from resource_manager.proto.
package resourcemanagerproto
