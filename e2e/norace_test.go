//go:build !race

package e2e

// raceEnabled says whether the programs under test are built with the race detector, as this one is.
const raceEnabled = false
