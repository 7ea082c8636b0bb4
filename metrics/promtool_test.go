package metrics

import (
	"bytes"
	"os/exec"
	"testing"
)

// TestPromtool asks the checker that operators have. TestLint asks the same rules where it is not installed.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: /metrics was not checked by it (Debian has it in the package prometheus)")
	}
	c := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	c.Stdin = bytes.NewReader(get(NewAdmin(AdminOptions{Registry: newTestRegistry(t)}), "GET", "/metrics").Body.Bytes())
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
