package store

import (
	bolt "go.etcd.io/bbolt"

	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

var savedAt = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

func mustOpen(t *testing.T, path string) (*State, Found) {
	t.Helper()
	s, found, err := Open(path, Options{})
	if err != nil {
		t.Fatalf("Open(%s) = %v", path, err)
	}
	return s, found
}

func mustClose(t *testing.T, s *State) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
}

// save writes models, each under account "acc".
func save(t *testing.T, s *State, models map[string]string) {
	t.Helper()
	var ms []Model
	for name, state := range models {
		ms = append(ms, Model{Account: "acc", Name: name, State: []byte(state)})
	}
	if err := s.SaveModels(savedAt, ms); err != nil {
		t.Fatalf("SaveModels of %d = %v", len(models), err)
	}
}

// load reads them again, and how long they were away.
func load(t *testing.T, s *State, now time.Time) (models map[string]string, away time.Duration) {
	t.Helper()
	models = map[string]string{}
	n, err := s.LoadModels(now, func(account, name string, state []byte, a time.Duration) {
		if account != "acc" {
			t.Errorf("a model of account %q, want acc", account)
		}
		models[name], away = string(state), a
	})
	if err != nil || n != len(models) {
		t.Fatalf("LoadModels = %d, %v with %d models", n, err, len(models))
	}
	return models, away
}

func TestModelsSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, found := mustOpen(t, path)
	if !found.Fresh || found.Moved != "" {
		t.Errorf("Open of a new file found %+v, want it fresh", found)
	}
	if got, _ := load(t, s, savedAt); len(got) != 0 {
		t.Errorf("models of a new file: %v, want none", got)
	}
	save(t, s, map[string]string{"old": "forgotten by the next save"})
	want := map[string]string{"hello": "a law", "": "of a function without a name", "binary": "\x00\xff", "empty": ""}
	save(t, s, want)
	mustClose(t, s)

	s, found = mustOpen(t, path)
	defer mustClose(t, s)
	if found.Fresh || found.Moved != "" || found.Why != nil {
		t.Errorf("Open of a sound file found %+v, want nothing special", found)
	}
	if got, away := load(t, s, savedAt.Add(time.Hour)); !maps.Equal(got, want) || away != time.Hour {
		t.Errorf("models after an hour: %q, away %v, want %q, 1h", got, away, want)
	}
	if _, away := load(t, s, savedAt.Add(-time.Hour)); away != 0 {
		t.Errorf("models with a clock that was set back: away %v, want 0", away)
	}
}

// A save that fails leaves the models of the last one.
func TestFailedSaveKeepsTheOldModels(t *testing.T) {
	s, _ := mustOpen(t, filepath.Join(t.TempDir(), "state.db"))
	defer mustClose(t, s)
	want := map[string]string{"hello": "a law"}
	save(t, s, want)
	tooLong := strings.Repeat("x", bolt.MaxKeySize+1)
	err := s.SaveModels(savedAt.Add(time.Hour), []Model{{Account: "acc", Name: "half", State: []byte("written")}, {Account: "acc", Name: tooLong}})
	if err == nil {
		t.Error("SaveModels of a name that no key can hold = nil, want an error")
	}
	if got, away := load(t, s, savedAt); !maps.Equal(got, want) || away != 0 {
		t.Errorf("models after a save that failed: %q, away %v, want %q as before", got, away, want)
	}
}

func TestNodesAndContainersSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, _ := mustOpen(t, path)
	node := func(i int) NodeRecord {
		return NodeRecord{Request: fmt.Sprintf("reserve-%d", i), Account: "acc", LiveID: "live", Node: cluster.Node{ID: fmt.Sprintf("node-%d", i), Address: "10.0.0.1", Port: 1, Memory: 3 << 30}}
	}
	container := ContainerRecord{Name: "fw-f-1", ID: "id", Node: "node-1", Function: cluster.Function{Account: "acc", Name: "f", Memory: 1 << 27, Timeout: time.Minute}, Units: 2, Memory: 1 << 28, Slot: 7}
	for i := range 3 {
		if err := s.PutNode(node(i)); err != nil {
			t.Fatalf("PutNode = %v", err)
		}
	}
	s.PutContainer(container)
	s.PutContainer(ContainerRecord{Name: "gone"})
	s.DropContainer("gone")
	s.DropNode("reserve-2")
	mustClose(t, s)

	s, found := mustOpen(t, path)
	defer mustClose(t, s)
	if want := []NodeRecord{node(0), node(1)}; !slices.Equal(found.Nodes, want) {
		t.Errorf("nodes found: %+v, want %+v", found.Nodes, want)
	}
	if want := []ContainerRecord{container}; !slices.Equal(found.Containers, want) {
		t.Errorf("containers found: %+v, want %+v", found.Containers, want)
	}
}

// What was put and waited for is there even when nobody closed the file.
func TestPutNodeIsOnTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, _ := mustOpen(t, path)
	defer mustClose(t, s)
	if err := s.PutNode(NodeRecord{Request: "reserve-1"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "copy.db") // as a kill would have left it
	if err := os.WriteFile(killed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again, found := mustOpen(t, killed)
	defer mustClose(t, again)
	if len(found.Nodes) != 1 || found.Nodes[0].Request != "reserve-1" {
		t.Errorf("nodes in the file after PutNode: %+v, want the one", found.Nodes)
	}
}

// A file that cannot be used is moved aside as it is, and named.
func TestUnusableFilesAreMovedAside(t *testing.T) {
	sound := filepath.Join(t.TempDir(), "sound.db")
	s, _ := mustOpen(t, sound)
	save(t, s, map[string]string{"hello": strings.Repeat("a law", 10_000)})
	mustClose(t, s)
	data, err := os.ReadFile(sound)
	if err != nil {
		t.Fatal(err)
	}
	for claim, bad := range map[string][]byte{
		"of somebody else's":    []byte("my holiday plans, of which there is no copy"),
		"of nothing but zeroes": make([]byte, 1<<16),
		"cut off":               data[:20<<10],
		"cut off at its head":   data[:100],
		"of another version":    anotherVersion(t, data),
	} {
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, found := mustOpen(t, path)
		if found.Moved == "" || !found.Fresh || found.Why == nil || !strings.Contains(found.Why.Error(), path) {
			t.Errorf("a file %s: found %+v, want it moved with a reason that names %s", claim, found, path)
		}
		kept, err := os.ReadFile(found.Moved)
		if err != nil || string(kept) != string(bad) {
			t.Errorf("a file %s: what was moved aside has %d bytes, %v, want the %d of before", claim, len(kept), err, len(bad))
		}
		save(t, s, map[string]string{"new": "law"})
		mustClose(t, s)
	}
}

// anotherVersion is a sound file with another format number.
func anotherVersion(t *testing.T, data []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "future.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Put(formatKey, []byte{format + 1}) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	future, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return future
}

func TestAFileInUseIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, _ := mustOpen(t, path)
	defer mustClose(t, s)
	_, _, err := Open(path, Options{})
	if use, ok := errors.AsType[*InUseError](err); !ok || use.Path != path || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "own") {
		t.Errorf("Open of a file in use = %v, want an error that names it and says what to do", err)
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 1 {
		t.Errorf("files after an attempt to open one in use: %v, want it alone", files)
	}
}

func TestOpenWhereNothingCanBe(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "no folder", "state.db"), t.TempDir()} {
		if _, _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) = %v, want an error that names it", path, err)
		}
		if filepath.Base(path) != "state.db" {
			if info, err := os.Stat(path); err != nil || !info.IsDir() {
				t.Errorf("the folder %s was moved: %v", path, err)
			}
		}
	}
}

func TestLeasesSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	l, fresh, err := OpenLeases(path)
	if err != nil || !fresh {
		t.Fatalf("OpenLeases of a new file: fresh %v, %v", fresh, err)
	}
	l.Counts[0], l.Counts[leaseSlots-1] = 3, 9
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, fresh, err = OpenLeases(path)
	if err != nil || fresh || l.Counts[0] != 3 || l.Counts[leaseSlots-1] != 9 || l.Counts[1] != 0 {
		t.Fatalf("OpenLeases again: fresh %v, %v, counts %d %d %d, want 3 0 9", fresh, err, l.Counts[0], l.Counts[1], l.Counts[leaseSlots-1])
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, fresh, err = OpenLeases(path)
	if err != nil || !fresh || l.Counts[0] != 0 {
		t.Fatalf("OpenLeases of another's file: fresh %v, %v, want it anew", fresh, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
