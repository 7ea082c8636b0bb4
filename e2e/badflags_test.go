package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A command line, a file or an environment that cannot be meant ends at once, with the place and what to do.
func TestBadFlags(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := fmt.Sprint(busy.Addr().(*net.TCPAddr).Port)
	malformed := write(t, "malformed.yaml", "functions:\n  - name: [hello\n")
	mistyped := write(t, "mistyped.yaml", "functions:\n  - name: hello\n    sample: hello\n    timout: 3s\n")
	serve := func(more ...string) []string {
		return append([]string{"serve", "--manager", "127.0.0.1:1", "--port", "0", "--admin", "127.0.0.1:0"}, more...)
	}
	for _, tt := range []struct {
		claim string
		env   []string
		args  []string
		says  []string
	}{
		{"YAML that does not parse", nil, []string{"up", "--functions", malformed}, []string{malformed + ":2:", "not valid YAML"}},
		{"a mistyped key", nil, []string{"up", "--functions", mistyped}, []string{mistyped + ":4:5", `"timout"`, `did you mean "timeout"?`}},
		{"a mistyped key, in front of a cluster", nil, serve("--functions", mistyped), []string{mistyped + ":4:5"}},
		{"a file that is not there", nil, []string{"gateway", "--functions", "/nowhere.yaml"}, []string{"/nowhere.yaml", "no such file"}},
		{"a port in use: HTTP", nil, []string{"up", "--http-port", taken}, []string{taken, "in use", "--http-port"}},
		{"a port in use: API server", nil, []string{"gateway", "--http-port", "0", "--port", taken}, []string{taken, "in use", "--port"}},
		{"a port in use: scheduler", nil, serve("--port", taken), []string{taken, "in use", "--port"}},
		{"a port in use: admin", nil, serve("--admin", busy.Addr().String()), []string{taken, "in use", "--admin"}},
		{"a port in use: manager", nil, []string{"manager", "--port", taken}, []string{taken, "in use"}},
		{"one port for two roles", nil, []string{"up", "--http-port", "19999", "--gateway-port", "19999"}, []string{"19999", "--gateway-port"}},
		{"a port that is none", nil, serve("--port", "99999"), []string{"99999", "--port"}},
		{"an unknown policy", nil, serve("--policy", "magic"), []string{"--policy", `"magic"`, "gap, reactive, ewma, holt, pgmix"}},
		{"an unknown policy of a platform", nil, []string{"up", "--policy", "magic"}, []string{"--policy", `"magic"`, "gap, reactive"}},
		{"a negative kappa", nil, serve("--kappa", "-1s"), []string{"--kappa", "-1s", "at least 1ms"}},
		{"a kappa without a unit", nil, serve("--kappa", "60"), []string{"--kappa", `"60"`, "has no unit"}},
		{"no node allowed", nil, serve("--max-nodes", "0"), []string{"--max-nodes", "0", "at least 1"}},
		{"more nodes at first than ever", nil, []string{"manager", "--nodes", "5", "--node-cap", "3"}, []string{"--node-cap", "3", "--nodes", "5"}},
		{"nodes without memory", nil, []string{"up", "--node-memory", "0"}, []string{"--node-memory", "0", "MiB"}},
		{"SERVICE_PORT that is no number", []string{"SERVICE_PORT=http"}, []string{"serve", "--manager", "127.0.0.1:1"}, []string{"SERVICE_PORT", `"http"`, "0 to 65535"}},
		{"SERVICE_PORT out of range", []string{"SERVICE_PORT=70000"}, []string{"serve", "--manager", "127.0.0.1:1"}, []string{"SERVICE_PORT", `"70000"`, "at most 65535"}},
		{"no manager", nil, []string{"serve"}, []string{"--manager", "RESOURCE_MANAGER_ENDPOINT"}},
		{"a manager that is no address", []string{"RESOURCE_MANAGER_ENDPOINT=somewhere"}, []string{"serve", "--port", "0"}, []string{`"somewhere"`, "host:port"}},
		{"a log level that is none", nil, []string{"up", "--log-level", "loud"}, []string{"--log-level", `"loud"`, "debug, info, warn or error"}},
		{"a state file where no folder is", nil, serve("--state", "/nowhere/state.db"), []string{"/nowhere/state.db", "no such file"}},
		{"a flag that is not there", nil, []string{"up", "--funktions", "x"}, []string{"--funktions"}},
		{"a command that is not there", nil, []string{"serv"}, []string{`"serv"`}},
		{"nobody to explain", nil, []string{"explain", "--admin", "127.0.0.1:1"}, []string{"127.0.0.1:1", "--admin"}},
		{"nobody to invoke", nil, []string{"invoke", "hello", "--gateway", "127.0.0.1:1"}, []string{"127.0.0.1:1", "gateway"}},
		{"invoke what", nil, []string{"invoke"}, []string{"1 arg"}},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			stdout, stderr, code := run(t, tt.env, tt.args...)
			if code != 1 {
				t.Errorf("forewarm %q: exit code %d, want 1; it printed %s%s", tt.args, code, stdout, stderr)
			}
			says(t, "the error", stderr, tt.says...)
			if strings.Contains(stderr, "goroutine ") || strings.Contains(stdout, "is up") {
				t.Errorf("forewarm %q printed %s%s, want an error and no more", tt.args, stdout, stderr)
			}
		})
	}
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A state file of somebody else's is not overwritten.
func TestForeignStateFile(t *testing.T) {
	t.Parallel()
	const text = "my holiday plans, of which there is no copy"
	path := write(t, "state.db", text)
	p := start(t, nil, forewarm, "serve", "--manager", "127.0.0.1:1", "--port", "0", "--admin", "127.0.0.1:0", "--state", path)
	until(t, "the scheduler says what it did with the file", 10*time.Second, func() bool { return strings.Contains(p.stderr.String(), path) })
	select {
	case <-p.ended:
	default:
		p.stop(10 * time.Second)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && string(data) == text {
			says(t, "the log", p.stderr.String(), f)
			return
		}
	}
	t.Errorf("of %v none has the text that was there before; the log: %s", files, p.stderr.String())
}
