// Package console turns numbers into words for people: why a container was started, what is expected of a
// function, what became of a run. It also serves these over forewarm.v1 on the admin port.
package console
