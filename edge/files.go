package edge

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"
)

// pollEvery is how soon a change of a file is seen. Four stats each two seconds cost nothing that can be measured.
const pollEvery = 2 * time.Second

// watched is a set of files that are loaded together, again when one of them changes.
type watched struct {
	paths []string
	what  string       // for the log
	load  func() error // called with mu held; keeps what it has when it fails
	log   *slog.Logger

	mu   sync.Mutex
	seen []os.FileInfo // guarded by mu; as they were before the last load, nil for a file that was not there
}

// Reload loads now, changed or not. What was loaded before stays in force when it fails.
func (w *watched) Reload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = w.stat() // before the load: a change during it is seen by the next look
	return w.load()
}

// Run loads again when files change, until ctx ends. What cannot be used is logged once for each change.
func (w *watched) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.look()
		}
	}
}

func (w *watched) look() {
	if !w.changed() {
		return
	}
	if err := w.Reload(); err != nil {
		w.log.Error(w.what+" changed and cannot be used; the earlier ones stay in force", "error", err)
		return
	}
	w.log.Info(w.what+" reloaded", "files", w.paths)
}

func (w *watched) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, now := range w.stat() {
		if !same(now, w.seen[i]) {
			return true
		}
	}
	return false
}

func (w *watched) stat() []os.FileInfo {
	infos := make([]os.FileInfo, len(w.paths))
	for i, p := range w.paths {
		if info, err := os.Stat(p); err == nil {
			infos[i] = info
		}
	}
	return infos
}

// same compares identity too: a file replaced within one tick of the file system's clock may have the same size.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
