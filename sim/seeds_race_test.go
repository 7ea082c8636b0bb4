//go:build race

package sim

// seeds2020 is one under the race detector, which makes a run ten times as long and finds no more in the next.
const seeds2020 = 1
