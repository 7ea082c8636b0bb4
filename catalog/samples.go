package catalog

import (
	"slices"

	"github.com/forewarm/forewarm/cluster"
)

// sampleNames are the functions that are built into the binary.
func sampleNames() []string { return []string{"hello", "sleep", "cpu", "memory"} }

// Samples is what runs where no file is given: each built-in function under its own name.
func Samples() *Catalog {
	c := &Catalog{}
	for _, name := range sampleNames() {
		f := Function{
			Name:        name,
			Sample:      name,
			Memory:      DefaultMemory,
			Timeout:     DefaultTimeout,
			Concurrency: DefaultConcurrency,
		}
		if name == "memory" { // it is there to be filled
			f.Memory = 256 * cluster.MiB
		}
		c.Functions = append(c.Functions, f)
	}
	return c
}

func isSample(name string) bool { return slices.Contains(sampleNames(), name) }
