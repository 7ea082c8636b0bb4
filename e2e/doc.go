// Package e2e holds tests over real processes: the program as people start it, real clients, real signals.
//
// What can be said of a package alone is tested there. Here stands what only shows when everything is put together:
// that a call crosses all roles, that a cluster of somebody else's is served, that nothing is left behind, and that
// bad input is told apart and survived. There is no code besides the tests.
package e2e
