package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse holds that no file brings the reader down, that a refusal has a place, and that what is accepted keeps
// every bound.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("testdata", "functions.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("functions:\n- {name: a, command: [x, 1], env: {A: b}, memory: 1.5GiB, timeout: 1m, concurrency: auto}\n"))
	f.Add([]byte("functions:\n- &a {name: a, sample: cpu}\n- *a\n"))
	f.Add([]byte("functions: [name: |\n  a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Line < 1 || e.Column < 1 || !strings.HasPrefix(err.Error(), "f.yaml:") {
				t.Fatalf("a refusal without a place: %v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, fn := range c.Functions {
			if seen[fn.Name] || fn.Name == "" || len(fn.Name) > MaxName || (len(fn.Command) > 0) == (fn.Sample != "") ||
				fn.Memory < MinMemory || fn.Memory > MaxMemory || fn.Timeout < MinTimeout || fn.Timeout > MaxTimeout ||
				fn.Concurrency < 0 || fn.Concurrency > MaxConcurrency {
				t.Fatalf("accepted %+v", fn)
			}
			seen[fn.Name] = true
		}
		if len(c.Functions) == 0 {
			t.Fatal("accepted a file without functions")
		}
	})
}
