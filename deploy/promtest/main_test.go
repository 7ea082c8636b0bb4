package promtest

import (
	"context"
	"os"
	"testing"

	"github.com/forewarm/forewarm/cluster/local"
)

// TestMain lets this binary be a node, a container or a watchdog of the run, as the program itself is.
func TestMain(m *testing.M) {
	if code, ok := local.RunRole(context.Background(), os.Args[1:]); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}
