package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Apply puts a configuration in force. Changed names the settings that differ. It is called with old and new in each
// other's place to undo a call that failed half way.
type Apply func(old, new *Config, changed []string) error

// Watcher loads a configuration anew when its file changes or on SIGHUP, and has it applied as a whole or not at all.
// The file is watched by looking at it, not by notifications, which do not come from every kind of mount.
type Watcher struct {
	Poll   time.Duration                     // between two looks at the file. Default 1 s
	Report func(changes []Change, err error) // what came of a reload: changes in force, or the error that left the old ones so. May be nil

	set     *Set
	current *Config
	seen    stamp // of the file that was loaded, or refused, last
	fresh   stamp // of a file that was not loaded yet; it is once it looks the same twice, and so was written to its end
	missed  int   // looks in a row at which there was no file
}

// NewWatcher watches the file of s, of which c was loaded.
func NewWatcher(s *Set, c *Config) *Watcher {
	return &Watcher{set: s, current: c, seen: c.stamp}
}

// Run watches until ctx ends, and returns nil then. Apply and Report are called by Run alone.
func (w *Watcher) Run(ctx context.Context, apply Apply) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return w.run(ctx, hangup, apply)
}

func (w *Watcher) run(ctx context.Context, hangup <-chan os.Signal, apply Apply) error {
	poll := w.Poll
	if poll == 0 {
		poll = time.Second
	}
	if poll < 0 {
		return fmt.Errorf("config: to look at the file each %v is not possible", poll)
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			now, _ := stampOf(w.current.file) // Load says what is wrong
			w.reload(now, apply)
		case <-ticker.C:
			w.look(apply)
		}
	}
}

// look loads the file if it is another than the last one, and complete.
func (w *Watcher) look(apply Apply) {
	if w.current.file == "" {
		return
	}
	now, err := stampOf(w.current.file)
	switch {
	case err != nil:
		w.fresh = stamp{}
		if w.missed++; w.missed == 2 { // one look may fall between the removal and the new file
			w.report(nil, fmt.Errorf("the file of settings cannot be read, and what it said last stays in force: %w", err))
		}
	case now.same(w.seen) && w.missed < 2:
		w.missed, w.fresh = 0, stamp{}
	case now.same(w.fresh):
		w.reload(now, apply)
	default:
		w.fresh = now
	}
}

// reload loads everything and applies what changed. Now is the file's stamp before.
func (w *Watcher) reload(now stamp, apply Apply) {
	w.seen, w.fresh, w.missed = now, stamp{}, 0
	next, err := w.set.Load()
	if err != nil {
		w.report(nil, fmt.Errorf("the settings were not reloaded, and the old ones stay in force:\n%w", err))
		return
	}
	w.seen = next.stamp
	changes := Diff(w.current, next)
	if err := live(changes); err != nil {
		w.report(nil, err)
		return
	}
	if err := w.apply(next, changes, apply); err != nil {
		w.report(nil, err)
		return
	}
	w.current = next
	w.report(changes, nil)
}

func (w *Watcher) report(changes []Change, err error) {
	if w.Report != nil {
		w.Report(changes, err)
	}
}

// live is an error that names the changes which need a restart.
func live(changes []Change) error {
	var fixed []string
	for _, c := range changes {
		if !c.Live {
			fixed = append(fixed, c.String())
		}
	}
	if fixed == nil {
		return nil
	}
	return fmt.Errorf("the settings were not reloaded, since some need a restart: restart, or put them back: %s", strings.Join(fixed, ", "))
}

// apply puts next in force, or back what was.
func (w *Watcher) apply(next *Config, changes []Change, apply Apply) error {
	if len(changes) == 0 {
		return nil
	}
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Name
	}
	err := apply(w.current, next, names)
	if err == nil {
		return nil
	}
	if back := apply(next, w.current, names); back != nil {
		return errors.Join(fmt.Errorf("the new settings could not be applied: %w", err),
			fmt.Errorf("neither could the old ones be put back, so that both are mixed until a restart: %w", back))
	}
	return fmt.Errorf("the new settings could not be applied, and the old ones are in force again: %w", err)
}

// stamp tells whether a path still leads to the same file with the same contents. A Kubernetes ConfigMap changes by
// a link on the way to the file, so that the way counts as well.
type stamp struct {
	real string      // path without links
	info os.FileInfo // device, inode, size and time; nil in the zero stamp
}

func stampOf(path string) (stamp, error) {
	if path == "" {
		return stamp{}, nil
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return stamp{}, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return stamp{}, err
	}
	return stamp{real: real, info: info}, nil
}

func (s stamp) same(o stamp) bool {
	if s.info == nil || o.info == nil {
		return false
	}
	return s.real == o.real && os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}
