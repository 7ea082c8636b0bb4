package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cannotIsolate says what keeps this process from giving containers users of
// their own; nil when nothing does.
func cannotIsolate(base int) error {
	if os.Geteuid() != 0 {
		return errors.New("only root can start processes as other users")
	}
	var have [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &have[0]); err != nil {
		return fmt.Errorf("ask for the own capabilities: %w", err)
	}
	// To become another user, and afterwards to end its processes and remove its files.
	for _, c := range []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID} {
		if have[0].Effective&(1<<c) == 0 {
			return fmt.Errorf("this root lacks capability %d of capabilities(7)", c)
		}
	}
	// In a user namespace there may be few users, and no way to leave groups.
	for _, file := range []string{"uid_map", "gid_map"} {
		if data, err := os.ReadFile("/proc/self/" + file); err == nil && !mapped(string(data), base, userCount) {
			return fmt.Errorf("there are no users %d to %d in this user namespace (/proc/self/%s)", base, base+userCount-1, file)
		}
	}
	if data, _ := os.ReadFile("/proc/self/setgroups"); strings.TrimSpace(string(data)) == "deny" {
		return errors.New("this user namespace forbids to leave groups (/proc/self/setgroups)")
	}
	return nil
}

// mapped says whether one line of a map of ids, as in user_namespaces(7), has all of them.
func mapped(table string, first, count int) bool {
	for line := range strings.Lines(table) {
		var inside, outside, length int
		if n, _ := fmt.Sscan(line, &inside, &outside, &length); n == 3 && inside <= first && first+count <= inside+length {
			return true
		}
	}
	return false
}

// boundOwn sets the limits that hold for each process of a container, on this
// node's own process: from it containers have them at their first instruction,
// and cannot raise them. (The kernel lets nobody set another user's limits
// without a right that root has not everywhere.)
func boundOwn(spec nodeSpec) error {
	if err := bound(unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	if err := bound(unix.RLIMIT_NOFILE, spec.Files); err != nil {
		return err
	}
	// This one counts the processes of a user wherever they are. It suits users
	// that belong to one container each, and it spares root, but not a namespace's.
	if data, _ := os.ReadFile("/proc/self/uid_map"); spec.Isolated && slices.Equal(strings.Fields(string(data)), []string{"0", "0", "4294967295"}) {
		return bound(unix.RLIMIT_NPROC, spec.Processes)
	}
	return nil
}

func bound(resource, most int) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return fmt.Errorf("read limit %d of getrlimit(2): %w", resource, err)
	}
	n := min(uint64(most), now.Max)
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		return fmt.Errorf("set limit %d of setrlimit(2) to %d: %w", resource, n, err)
	}
	return nil
}

// apart runs f on a thread that nothing else runs on, before or after. What f
// changes about its thread is for what it starts; the runtime never makes other
// threads from a thread that is locked.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked, which ends the thread with the goroutine
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread() // a process's first thread cannot end
			apart(f)
			return
		}
		f()
	}()
	<-done
}

// launch starts a process that gets no rights which its user has not: no program
// that it runs can raise them. The calling thread is of no use for anything else
// after that: see apart. (A program of our own in between could do the same, and
// would take longer to start than many a function.)
func launch(cmd *exec.Cmd) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("renounce new privileges: %w", err)
	}
	const most = 63 // as many fit into the kernel's masks
	for c := range uintptr(most + 1) {
		if unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) != nil {
			break // beyond the last one, or without the right to drop any, which is no harm after the above
		}
	}
	_, _ = unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) // a new one, since the node's keys are not for it; not every kernel has keys
	err := cmd.Start()
	// The child changed its user in our memory, before it had its own. That made the
	// memory unreadable (PR_SET_DUMPABLE in prctl(2)), also to who looks for a node's processes.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	return err
}

// barred finds what keeps strangers from a file: it, or a folder on the way. It
// is empty if nothing does. Lists of access rights (acl(5)) are not looked at.
func barred(path string, need os.FileMode) string {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "" // not there, which is another matter
	}
	found := ""
	for ; ; path, need = filepath.Dir(path), 0o001 {
		if info, err := os.Stat(path); err == nil && info.Mode()&need != need {
			found = path // the outermost is the one to begin with
		}
		if path == filepath.Dir(path) {
			return found
		}
	}
}

// barrier says which file of a command the container's user cannot reach, for the
// end of an error message; nothing if there is none.
func (c *container) barrier() string {
	if c.user == 0 {
		return ""
	}
	for i, arg := range c.cmd.Args {
		if i == 0 {
			arg = c.cmd.Path
		}
		info, err := os.Stat(arg)
		if !filepath.IsAbs(arg) || err != nil || !info.Mode().IsRegular() || arg == ownProgram {
			continue
		}
		need := os.FileMode(0o004) // to read it
		if i == 0 {
			need = 0o001
		}
		if where := barred(arg, need); where != "" {
			return fmt.Sprintf("; %s is closed to the container's own user %d, who needs it for %s: let others read files and enter folders (chmod o+rX), or switch isolation off",
				where, c.user, arg)
		}
	}
	return ""
}

// ofUsers lists the processes of users, by any of their ids. Nothing that a
// process of a container can do takes it off this list.
func ofUsers(users ...int) []int {
	if len(users) == 0 {
		return nil
	}
	return scan(func(pid int) bool {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		status := string(data)
		_, ids, _ := strings.Cut(status, "\nUid:")
		ids, _, _ = strings.Cut(ids, "\n")
		return slices.ContainsFunc(strings.Fields(ids), func(id string) bool {
			n, _ := strconv.Atoi(id)
			// One that has ended keeps its user until its parent asks; one whose first thread has ended looks like that.
			return slices.Contains(users, n) && (!strings.Contains(status, "\nState:\tZ") || keyed(data, "Threads:") > 1)
		})
	})
}

// owners lists the users, root excepted, who own a folder in a node's, which are
// those of its containers.
func owners(workdir string) (found []int) {
	entries, _ := os.ReadDir(workdir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && os.Geteuid() == 0 {
				found = append(found, int(stat.Uid))
			}
		}
	}
	return found
}
