package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Functions are added, changed and removed under a running platform, while another one is called all the time.
func TestApply(t *testing.T) {
	dir := openDir(t)
	p := freePorts(t, 5)
	gateway := "127.0.0.1:" + p[0]
	const first = `functions:
  - {name: steady, sample: sleep, env: {SLEEP_MS: "20"}, concurrency: 4}
  - {name: twin, sample: sleep, env: {SLEEP_MS: "1"}}
`
	u := forewarm(t, dir, "up", "--http-port", p[0], "--gateway-port", p[1], "--scheduler-port", p[2], "--manager-port", p[3],
		"--admin", "127.0.0.1:"+p[4], "--functions", write(t, filepath.Join(dir, "first.yaml"), first))
	u.says("Ctrl-C ends everything.")
	answers := func(function string) (int, string) {
		t.Helper()
		status, body, _, err := invoke(t.Context(), gateway, function)
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	apply := func(text string, more ...string) (string, int) {
		t.Helper()
		a := forewarm(t, dir, append([]string{"apply", "--gateway", gateway, "-f", write(t, filepath.Join(dir, "next.yaml"), text)}, more...)...)
		code := a.code(20 * time.Second)
		return a.out.String(), code
	}
	if status, body := answers("twin"); status != http.StatusOK || body != "slept 1 ms\n" {
		t.Fatalf("twin answers %d %q", status, body)
	}
	load := steadily(t, gateway, 20*time.Millisecond, 30*time.Second, "steady")

	if out, code := apply(first, "--yes"); code != 0 || out != "Nothing changes.\n" {
		t.Errorf("the same list again: %d %q", code, out)
	}
	added := first + "  - {name: extra, sample: hello}\n"
	if out, code := apply(added); code != 1 || !strings.Contains(out, "+ extra: sample hello") || !strings.Contains(out, "give --yes") {
		t.Errorf("without a yes: %d %q", code, out)
	}
	if status, _ := answers("extra"); status != http.StatusNotFound {
		t.Errorf("extra answers %d before it was applied", status)
	}
	if out, code := apply(added, "--yes"); code != 0 || !strings.Contains(out, "Applied: 1 added.") {
		t.Fatalf("one more: %d %q", code, out)
	}
	if status, body := answers("extra"); status != http.StatusOK {
		t.Errorf("extra answers %d %q", status, body)
	}

	changed := strings.Replace(added, `{SLEEP_MS: "1"}`, `{SLEEP_MS: "2"}`, 1)
	before := time.Now()
	if out, code := apply(changed, "--yes"); code != 0 || !strings.Contains(out, `~ twin: env SLEEP_MS "1" -> "2"`) {
		t.Fatalf("another env: %d %q", code, out)
	}
	eventually(t, "twin answers the new way", 2*time.Second, func() bool {
		status, body := answers("twin")
		if status != http.StatusOK {
			t.Errorf("twin answers %d %q while it changes", status, body)
		}
		return body == "slept 2 ms\n"
	})
	t.Logf("the new way after %v", time.Since(before).Round(time.Millisecond))

	// The one that is called all the time changes under its calls, in what a scheduler sees and what it does not.
	changed = strings.Replace(changed, `"20"}, concurrency: 4`, `"21"}, concurrency: 2, memory: 64MiB`, 1)
	if out, code := apply(changed, "--yes"); code != 0 || !strings.Contains(out, `~ steady: env SLEEP_MS "20" -> "21"; memory 128MiB -> 64MiB; concurrency 4 -> 2`) {
		t.Fatalf("the busy one: %d %q", code, out)
	}
	eventually(t, "steady answers the new way", 2*time.Second, func() bool { _, body := answers("steady"); return body == "slept 21 ms\n" })

	removed := strings.Replace(changed, "  - {name: extra, sample: hello}\n", "", 1)
	if out, code := apply(removed, "--yes"); code != 0 || !strings.Contains(out, "- extra\n") || !strings.Contains(out, "Applied: 1 removed.") {
		t.Fatalf("one less: %d %q", code, out)
	}
	if status, body := answers("extra"); status != http.StatusNotFound || !strings.Contains(body, "known: steady, twin") {
		t.Errorf("a removed function answers %d %q, want 404", status, body)
	}
	if out, code := apply(strings.Replace(removed, "sleep", "slep", 1), "--yes"); code != 1 || !strings.Contains(out, `next.yaml:2:28: sample: "slep" is not built in`) {
		t.Errorf("a mistake in the file: %d %q", code, out)
	}
	if status, body := answers("steady"); status != http.StatusOK || body != "slept 21 ms\n" {
		t.Errorf("after it, steady answers %d %q", status, body)
	}
	time.Sleep(300 * time.Millisecond)
	load.stop()
	load.none(t)
	t.Logf("%d calls, %d of them cold", load.calls.Load(), load.cold.Load())
	if code := u.stop(); code != 0 {
		t.Errorf("up ended with %d", code)
	}
}

func TestApplyWithoutAPlatform(t *testing.T) {
	dir := openDir(t)
	p := freePorts(t, 1)
	file := write(t, filepath.Join(dir, "f.yaml"), "functions: [{name: a, sample: hello}]\n")
	a := forewarm(t, dir, "apply", "-f", file, "--gateway", "127.0.0.1:"+p[0])
	if code, out := a.code(10*time.Second), a.out.String(); code != 1 || !strings.Contains(out, "is one running on this machine") {
		t.Errorf("apply without a platform: %d %q", code, out)
	}
}
