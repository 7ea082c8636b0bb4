package catalog

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

func TestLoadExample(t *testing.T) {
	c, err := Load(filepath.Join("testdata", "functions.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Function{
		{Name: "hello", Sample: "hello", Memory: 128 * cluster.MiB, Timeout: 30 * time.Second, Concurrency: 1},
		{
			Name:        "resize-image",
			Command:     []string{"python3", "app.py", "--quality", "85"},
			Env:         map[string]string{"LOG_LEVEL": "debug", "WORKERS": "2", "GREETING": "two\nlines\n"},
			Memory:      512 * cluster.MiB,
			Timeout:     90 * time.Second,
			Concurrency: 1,
			Handler:     "app.main",
		},
		{Name: "fetch", Command: []string{"./fetch"}, Memory: 128 * cluster.MiB, Timeout: 30 * time.Second, Concurrency: 20},
		{Name: "wait", Sample: "sleep", Memory: 1536 * cluster.MiB, Timeout: 15 * time.Minute, Concurrency: 0},
	}
	for i, f := range want {
		if i >= len(c.Functions) || !reflect.DeepEqual(c.Functions[i], f) {
			t.Errorf("function %d of the example: got %+v, want %+v", i, c.Functions, f)
		}
	}
	if len(c.Functions) != len(want) {
		t.Errorf("the example holds %d functions, want %d", len(c.Functions), len(want))
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file = %v, want an error that wraps fs.ErrNotExist", err)
	}
}

func TestLookup(t *testing.T) {
	c := Samples()
	if f, ok := c.Lookup("cpu"); !ok || f.Sample != "cpu" {
		t.Errorf("Lookup(cpu) = %+v, %v", f, ok)
	}
	if f, ok := c.Lookup("CPU"); ok {
		t.Errorf("Lookup(CPU) = %+v, want none: names differ by case", f)
	}
}

func TestSamplesAreWithinBounds(t *testing.T) {
	for _, f := range Samples().Functions {
		if f.Memory < MinMemory || f.Memory > MaxMemory || f.Timeout < MinTimeout || f.Timeout > MaxTimeout ||
			f.Concurrency != DefaultConcurrency || !isSample(f.Sample) || f.Command != nil {
			t.Errorf("sample %+v would be refused in a file", f)
		}
	}
}
