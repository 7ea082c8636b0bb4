//go:build !race

package sim

// seeds2020 is how many seeds the 2020 workload is run with.
const seeds2020 = 3
