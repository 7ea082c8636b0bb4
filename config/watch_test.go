package config

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scene runs a Watcher over files of a test, in fake time, and keeps what it did.
type scene struct {
	t      *testing.T
	path   string
	hangup chan os.Signal

	mu      sync.Mutex
	refuse  func(old, new *Config) error // of apply; may be nil
	applied []string                     // changes given to apply, old level > new level: names
	reports []string
}

// watch runs steps against a Watcher of path, which holds a file already.
func watch(t *testing.T, path string, steps func(*scene)) {
	s := &Set{Environ: []string{configEnv + "=" + path, "FOREWARM_LISTEN_PORT=1"}}
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		sc := &scene{t: t, path: path, hangup: make(chan os.Signal)}
		w := NewWatcher(s, c)
		w.Report = func(changes []Change, err error) {
			text := "nothing changed"
			if err != nil {
				text = err.Error()
			} else if len(changes) > 0 {
				text = changes[0].String()
			}
			sc.mu.Lock()
			defer sc.mu.Unlock()
			sc.reports = append(sc.reports, strings.ReplaceAll(text, filepath.Dir(path)+"/", ""))
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.run(ctx, sc.hangup, sc.apply) }()
		steps(sc)
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func (s *scene) apply(old, new *Config, changed []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = append(s.applied, old.Log.Level+">"+new.Log.Level+": "+strings.Join(changed, " "))
	if s.refuse != nil {
		return s.refuse(old, new)
	}
	return nil
}

// refusing sets what apply says from now on.
func (s *scene) refusing(f func(old, new *Config) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// replace puts a file in the place of the old one, as editors do.
func (s *scene) replace(text string) {
	s.t.Helper()
	write(s.t, s.path+".new", text)
	if err := os.Rename(s.path+".new", s.path); err != nil {
		s.t.Fatal(err)
	}
}

// after lets seconds pass and holds what was reported and applied meanwhile.
func (s *scene) after(seconds int, reports, applied []string) {
	s.t.Helper()
	time.Sleep(time.Duration(seconds)*time.Second + time.Millisecond)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.reports, reports) || !slices.Equal(s.applied, applied) {
		s.t.Errorf("reported %q, want %q; applied %q, want %q", s.reports, reports, s.applied, applied)
	}
	s.reports, s.applied = nil, nil
}

func (s *scene) hup(reports, applied []string) {
	s.t.Helper()
	s.hangup <- syscall.SIGHUP
	s.after(0, reports, applied)
}

const (
	warnFile  = "log: {level: warn}\n"
	errorFile = "log: {level: error}\n"
	refused   = "the settings were not reloaded, and the old ones stay in force:\n"
)

var (
	toError    = []string{"log.level: warn -> error (f.yaml:1)"}
	didToError = []string{"warn>error: log.level"}
	toWarn     = []string{"log.level: error -> warn (f.yaml:1)"}
	didToWarn  = []string{"error>warn: log.level"}
	unchanged  = []string{"nothing changed"}
)

func TestWatchReloads(t *testing.T) {
	watch(t, write(t, filepath.Join(t.TempDir(), "f.yaml"), warnFile), func(s *scene) {
		s.after(10, nil, nil)
		s.replace(errorFile)
		s.after(1, nil, nil) // it may still be written
		s.after(1, toError, didToError)
		s.after(10, nil, nil)
		s.replace("# another\n" + errorFile)
		s.after(2, unchanged, nil)
		s.hup(unchanged, nil)
		write(t, s.path, warnFile) // in place
		s.hup(toWarn, didToWarn)   // at once
		s.after(10, nil, nil)
	})
}

// A file that is written slowly is read when it is complete, though its first half would be accepted.
func TestWatchWaitsForTheEnd(t *testing.T) {
	watch(t, write(t, filepath.Join(t.TempDir(), "f.yaml"), warnFile), func(s *scene) {
		text := "log: {level: error}\n"
		for range 4 {
			text += "# more\n"
			s.replace(text)
			s.after(1, nil, nil)
		}
		s.after(1, toError, didToError)
	})
}

func TestWatchRefuses(t *testing.T) {
	watch(t, write(t, filepath.Join(t.TempDir(), "f.yaml"), warnFile), func(s *scene) {
		s.replace("log: {level: loud}\nplaner: {}\n")
		bad := []string{refused + "f.yaml:1:14: log.level: \"loud\" does not exist: write one of debug, info, warn, error\nf.yaml:2:1: unknown key \"planer\": did you mean \"planner\"?"}
		s.after(2, bad, nil)
		s.after(10, nil, nil) // said once
		s.hup(bad, nil)       // and when asked
		s.replace(errorFile)
		s.after(2, toError, didToError)
	})
}

func TestWatchNamesWhatNeedsARestart(t *testing.T) {
	watch(t, write(t, filepath.Join(t.TempDir(), "f.yaml"), warnFile), func(s *scene) {
		s.replace("log: {level: error, format: json}\nadmin: none\nlisten: {port: 2}\n") // the port is the environment's
		s.after(2, []string{"the settings were not reloaded, since some need a restart: restart, or put them back: " +
			"admin: 127.0.0.1:10700 -> none (f.yaml:2), log.format: text -> json (f.yaml:1)"}, nil)
		s.replace(errorFile)
		s.after(2, toError, didToError) // from what was in force
	})
}

func TestWatchRollsBack(t *testing.T) {
	watch(t, write(t, filepath.Join(t.TempDir(), "f.yaml"), warnFile), func(s *scene) {
		s.refusing(func(_, c *Config) error {
			if c.Log.Level == "error" {
				return errors.New("too quiet")
			}
			return nil
		})
		s.replace(errorFile)
		s.after(2, []string{"the new settings could not be applied, and the old ones are in force again: too quiet"}, []string{"warn>error: log.level", "error>warn: log.level"})
		s.refusing(func(old, _ *Config) error { return errors.New(old.Log.Level + " sticks") })
		s.hup([]string{"the new settings could not be applied: warn sticks\nneither could the old ones be put back, so that both are mixed until a restart: error sticks"},
			[]string{"warn>error: log.level", "error>warn: log.level"})
		s.refusing(nil)
		s.hup(toError, didToError)
	})
}

// As Kubernetes does it: f.yaml -> ..data/f.yaml, ..data -> ..1, and the link ..data is replaced.
func TestWatchFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	stamped := time.Unix(1e9, 0)
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		file := write(t, filepath.Join(dir, name, "f.yaml"), text)
		err := errors.Join(os.Chtimes(file, stamped, stamped), os.Symlink(name, filepath.Join(dir, "..tmp")),
			os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
		if err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "log: {level: debug}\n")
	if err := os.Symlink("..data/f.yaml", filepath.Join(dir, "f.yaml")); err != nil {
		t.Fatal(err)
	}
	watch(t, filepath.Join(dir, "f.yaml"), func(s *scene) {
		version("..2", errorFile) // of the same size and time
		if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
			t.Fatal(err)
		}
		s.after(2, []string{"log.level: debug -> error (f.yaml:1)"}, []string{"debug>error: log.level"})
	})
}

func TestWatchOutlivesItsFile(t *testing.T) {
	watch(t, write(t, filepath.Join(t.TempDir(), "f.yaml"), warnFile), func(s *scene) {
		away := s.path + ".away"
		move := func(from, to string) {
			t.Helper()
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		move(s.path, away)
		s.after(1, nil, nil) // perhaps it is being replaced
		move(away, s.path)
		s.after(5, nil, nil)
		move(s.path, away)
		gone := "the file of settings cannot be read, and what it said last stays in force: lstat f.yaml: no such file or directory"
		s.after(10, []string{gone}, nil)
		s.hup([]string{refused + "the file of settings: open f.yaml: no such file or directory"}, nil)
		move(away, s.path)
		s.after(2, unchanged, nil)
		move(s.path, away)
		s.after(10, []string{gone}, nil)
		s.replace(errorFile)
		s.after(2, toError, didToError)
	})
}

// Without a file there is nothing to look at, and SIGHUP finds nothing new.
func TestWatchWithoutAFile(t *testing.T) {
	watch(t, "", func(s *scene) {
		s.after(10, nil, nil)
		s.hup(unchanged, nil)
	})
}

func TestRunTakesSignals(t *testing.T) {
	inFolder(t)
	s, c := mustLoad(t, warnFile, nil, nil)
	w := NewWatcher(s, c)
	w.Poll = time.Hour
	var once sync.Once
	running, applied := make(chan struct{}), make(chan string, 1)
	w.Report = func([]Change, error) { once.Do(func() { close(running) }) }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	// Until Run has asked for it, the signal would end the test.
	hold := make(chan os.Signal, 1)
	signal.Notify(hold, syscall.SIGHUP)
	defer signal.Stop(hold)
	go func() {
		done <- w.Run(ctx, func(_, c *Config, _ []string) error { applied <- c.Log.Level; return nil })
	}()
	signalUntil(t, running)
	write(t, "f.yaml", errorFile)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := <-applied; got != "error" {
		t.Errorf("applied level %q, want error", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := (&Watcher{Poll: -1}).Run(t.Context(), nil); err == nil {
		t.Error("a negative poll was accepted")
	}
}

// signalUntil sends SIGHUP until somebody reacts.
func signalUntil(t *testing.T, done <-chan struct{}) {
	for {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
