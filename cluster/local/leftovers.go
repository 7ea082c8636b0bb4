package local

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// folderPattern is what nodes' folders are called.
const folderPattern = "forewarm-node-"

// lockName is a file in a node's folder. It holds the node's live id and is
// locked for as long as one of those lives who would clean up after the node: its
// starter, its watchdog and itself, who share the lock.
const lockName = "lock"

// makeFolder makes the folder of a node, and takes its lock.
func makeFolder(spec *nodeSpec) (lock *os.File, err error) {
	if spec.Workdir, err = os.MkdirTemp(spec.Folder, folderPattern); err != nil {
		return nil, err
	}
	// Containers with users of their own must get to their folders, but need not find others'.
	if err := os.Chmod(spec.Workdir, 0o711); err != nil {
		return nil, err
	}
	if lock, err = os.OpenFile(filepath.Join(spec.Workdir, lockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	_, err = lock.WriteString(spec.LiveID)
	return lock, err
}

// clearLeftovers ends and removes what nodes left whose cleaners were all killed
// at once, which nobody can do anything about but who comes next.
func clearLeftovers(folder string, log *slog.Logger) {
	locks, _ := filepath.Glob(filepath.Join(folder, folderPattern+"*", lockName))
	for _, name := range locks {
		lock, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // somebody else's, or gone by now
		}
		id := make([]byte, 64)
		n, _ := lock.Read(id)
		spec := nodeSpec{LiveID: string(id[:n]), Workdir: filepath.Dir(name)}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && n > 0 && !strings.Contains(spec.LiveID, "/") {
			p := nodeProcess{spec: spec}
			if err := sweep(spec, p.remains); err != nil {
				log.Warn("a killed node's leftovers remain", "folder", spec.Workdir, "err", err)
			} else {
				log.Info("a killed node's leftovers are cleared", "folder", spec.Workdir)
			}
		}
		lock.Close()
	}
}
