package local

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Hidden commands that this package runs its own program with.
const (
	roleWatchdog = "cluster-watchdog"
	roleNode     = "cluster-node"
	roleSample   = "sample"
)

// RunRole is for the very beginning of main: when args (os.Args[1:]) name one of
// the roles that a cluster runs its own program in, it plays that role to its
// end and says so; the program then exits with the code. Any other arguments are
// left alone.
//
//	if code, ok := local.RunRole(ctx, os.Args[1:]); ok {
//		os.Exit(code)
//	}
func RunRole(ctx context.Context, args []string) (code int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	var err error
	switch args[0] {
	case roleWatchdog:
		err = runWatchdog()
	case roleNode:
		err = runNode()
	case roleSample:
		if len(args) != 2 {
			err = errors.New("want one name: hello, sleep, cpu or memory")
			break
		}
		err = RunSample(ctx, args[1], os.Getenv)
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return 1, true
	}
	return 0, true
}
