package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/show.txt and docs/configuration.md as they would be now; then read the diff")

// write makes a file that others cannot read, and gives its path.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// inFolder makes a new folder the working folder, so that messages name files alike in every run.
func inFolder(t *testing.T) { t.Chdir(t.TempDir()) }

// loadSet reads a file named f.yaml if there is text for one, an environment and a command line.
func loadSet(t *testing.T, file string, env, args []string) (*Set, *Config, error) {
	t.Helper()
	s := &Set{Environ: append([]string{}, env...)}
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.AddFlags(fs)
	if file != "" {
		args = append([]string{"--config", write(t, "f.yaml", file)}, args...)
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := s.Load()
	return s, c, err
}

// mustLoad is loadSet of what is right.
func mustLoad(t *testing.T, file string, env, args []string) (*Set, *Config) {
	t.Helper()
	s, c, err := loadSet(t, file, env, args)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// golden compares text with a file, or rewrites it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s differs from line %d on:\n got  %q\n want %q\nrun go test ./config -rewrite and read the diff",
				filepath.ToSlash(path), i+1, at(g, i), at(w, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}
