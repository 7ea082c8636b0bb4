package proto_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestGeneratedIsFresh needs neither compiler nor generators: it compares all
// files with the sums that the last generation left.
func TestGeneratedIsFresh(t *testing.T) {
	recorded := readSums(t, "generated.sum")
	dir := os.DirFS(".")
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !(strings.HasSuffix(path, ".proto") || strings.HasSuffix(path, ".pb.go")) {
			return err
		}
		content, err := fs.ReadFile(dir, path)
		if err != nil {
			return err
		}
		if recorded[path] != fmt.Sprintf("%x", sha256.Sum256(content)) {
			t.Errorf("proto: %s changed since the code was generated: run make proto", path)
		}
		delete(recorded, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range recorded {
		t.Errorf("proto: %s is gone since the code was generated: run make proto", path)
	}
}

// readSums reads lines of "sum  path", as sha256sum writes them.
func readSums(t *testing.T, file string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(content)) {
		sum, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			t.Fatalf("%s: line %q is not a sum and a path", file, line)
		}
		sums[path] = sum
	}
	return sums
}
