// Package catalog reads functions.yaml: which functions there are, how each is
// started and what it may use.
//
// A file is refused as a whole or taken as a whole, and every complaint names
// the file, the line, the column and what to write instead. Unknown keys are
// complaints too, because a mistyped "timout" that is silently ignored shows up
// weeks later as a function that runs for ever.
//
// The package starts nothing and knows no cluster: that a command exists, or
// that a node has the memory, is found out where the function is started.
package catalog

import (
	"fmt"
	"os"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/spelling"
)

// Bounds of what a file may ask for.
const (
	MaxName        = 128              // bytes of a function's name
	MinMemory      = cluster.MiB      // less does not hold a process
	MaxMemory      = 3 * cluster.GiB  // what one node sells
	MinTimeout     = time.Millisecond // the contract counts in milliseconds
	MaxTimeout     = 15 * time.Minute // as long as the public clouds allow
	MaxConcurrency = 1000             // requests in one container at once
)

// What a function gets that does not say.
const (
	DefaultMemory      = 128 * cluster.MiB
	DefaultTimeout     = 30 * time.Second
	DefaultConcurrency = 1 // nothing is known of its code, which may not bear more
)

// Function is one entry of a catalog. Exactly one of Command and Sample is set.
type Function struct {
	Name        string
	Command     []string          // program and arguments; it answers HTTP POST on $PORT
	Sample      string            // built-in function to run instead of a command
	Env         map[string]string // added to the environment of the container
	Memory      int64             // bytes that one request may use
	Timeout     time.Duration     // whole milliseconds, after which a call is ended
	Concurrency int               // requests that one container may hold at once; 0: as many as measurements allow
	Handler     string            // passed on to the node as it is; may be empty
}

// Catalog is the functions of one file, in its order.
type Catalog struct {
	Functions []Function
}

// Lookup finds a function by name. It scans, so a hot path keeps a map of its own.
func (c *Catalog) Lookup(name string) (Function, bool) {
	for _, f := range c.Functions {
		if f.Name == name {
			return f, true
		}
	}
	return Function{}, false
}

// Nearest finds the function whose name is most like a mistyped one; false when none is alike.
func (c *Catalog) Nearest(name string) (string, bool) {
	return spelling.Nearest(name, c.Names())
}

// Load reads a file.
func Load(path string) (*Catalog, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of functions: %w", err)
	}
	return Parse(path, data)
}

// Names lists the functions' names, in the order of the file.
func (c *Catalog) Names() []string {
	names := make([]string, len(c.Functions))
	for i, f := range c.Functions {
		names[i] = f.Name
	}
	return names
}
