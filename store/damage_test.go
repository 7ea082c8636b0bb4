package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// full is the content of a state file with a few hundred records and models, so that it has pages of all kinds.
func full(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, _ := mustOpen(t, path)
	for i := range 300 {
		s.NoteNode(NodeRecord{Request: fmt.Sprintf("reserve-%d", i), Node: cluster.Node{ID: fmt.Sprintf("node-%d", i)}})
		s.PutContainer(ContainerRecord{Name: fmt.Sprintf("fw-f-%d", i), Node: "node-1"})
	}
	save(t, s, map[string]string{"hello": strings.Repeat("a law", 10_000), "other": "law"})
	mustClose(t, s)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Whatever happens to a page, opening the file does not end the process: it is sound as far as one can see, or it is
// moved aside.
func TestDamagedPages(t *testing.T) {
	data := full(t)
	const page, header = 4096, 16
	rng := rand.New(rand.NewPCG(4, 4096))
	damages := 200
	if testing.Short() {
		damages = 40
	}
	moved := 0
	for i := range damages {
		bad := append([]byte(nil), data...)
		at := (2 + rng.IntN(len(bad)/page-2)) * page // beyond the two that say where everything is
		claim := ""
		switch i % 4 {
		case 0:
			claim = "its header is noise"
			for j := range header {
				bad[at+j] = byte(rng.Uint32())
			}
		case 1:
			claim = "its count is far too large"
			binary.LittleEndian.PutUint16(bad[at+10:], 65_535)
		case 2:
			claim = "its first element lies nowhere"
			binary.LittleEndian.PutUint32(bad[at+header+4:], 0xfffffff0)
		case 3:
			claim = "it is zero"
			clear(bad[at : at+page])
		}
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, found, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("page at %d, %s: Open = %v, want it moved aside", at, claim, err)
		}
		if found.Moved != "" {
			moved++
		}
		mustClose(t, s)
	}
	if moved < damages/4 {
		t.Errorf("%d of %d damaged files were noticed", moved, damages)
	}
	t.Logf("%d of %d damaged files were noticed; the others were hit where nothing is", moved, damages)
}

// counting counts messages of a log.
type counting struct {
	mu sync.Mutex
	n  int
}

func (c *counting) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return len(p), nil
}

// On a disk that is full callers go on, it is said now and then and not for every batch, and what was to be written
// is written when there is room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "state.db")
	var said counting
	s, _, err := Open(path, Options{Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := fillUp(filler); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk = %v, want it full", err)
	}
	long := strings.Repeat("x", 60_000) // more than is free inside the file
	began := time.Now()
	for i := range 20 {
		s.PutContainer(ContainerRecord{Name: fmt.Sprintf("c-%d", i), Node: long[:5000]})
		time.Sleep(5 * time.Millisecond)
	}
	err = s.PutNode(NodeRecord{Request: "reserve-1"})
	if err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("PutNode on a full disk = %v after %v, want an error soon", err, time.Since(began))
	}
	time.Sleep(2500 * time.Millisecond)
	if said.n != 1 {
		t.Errorf("a full disk was said %d times in three seconds, want once", said.n)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNode(NodeRecord{Request: "reserve-2"}); err != nil {
		time.Sleep(retryPause + 100*time.Millisecond)
		if err = s.PutNode(NodeRecord{Request: "reserve-2"}); err != nil {
			t.Errorf("PutNode when there is room again = %v", err)
		}
	}
	mustClose(t, s)
	s, found := mustOpen(t, path)
	defer mustClose(t, s)
	if len(found.Nodes) != 2 || len(found.Containers) != 20 {
		t.Errorf("found %d nodes and %d containers, want all 2 and 20: what could not be written is written later", len(found.Nodes), len(found.Containers))
	}
}

func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return err
		}
	}
}
