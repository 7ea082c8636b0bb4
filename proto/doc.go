// Package proto is the root of the wire contracts; it holds no code, only
// .proto files, the Go code generated from them and the tests that pin both.
//
// Below minifaas are the four services of the mini-faas contract, one Go
// package per proto package, since two of those have messages of the same
// name. They belong to programs that exist already: they change never. Below
// forewarm/v1 is our own operator's interface; it may grow, within the rules
// of protobuf.
//
// After a change to a .proto file run "make proto", which is
//
//	go generate ./proto
//
// It needs no protoc: compiler and generators are pinned in tools/go.mod. The
// generated code is checked in, and generated.sum records what it was made
// from, so that a test can tell when it is stale.
package proto

//go:generate go run -C ../tools ./protogen -root ../proto
