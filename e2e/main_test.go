package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs under test. Built once, in TestMain.
var forewarm, foreign, alone string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "forewarm-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // containers have users of their own where there is root
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	forewarm, foreign, alone = filepath.Join(dir, "forewarm"), filepath.Join(dir, "foreign"), filepath.Join(dir, "alone")
	for out, pkg := range map[string]string{forewarm: "../cmd/forewarm", foreign: "./testdata/foreign", alone: "./testdata/alone"} {
		args := []string{"build", "-o", out}
		if raceEnabled {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, pkg)...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: build %s: %v\n", pkg, err)
			return 1
		}
	}
	return m.Run()
}
