package local

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// listsChildren says whether the kernel keeps lists of children (CONFIG_PROC_CHILDREN).
var listsChildren = sync.OnceValue(func() bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%[1]d/children", os.Getpid()))
	return err == nil
})

// children lists the direct children of a process, zombies among them.
func children(pid int) []int {
	if !listsChildren() {
		return scan(func(p int) bool { return parent(p) == pid })
	}
	// Each thread has the list of those that it started.
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var pids []int
	for _, list := range lists {
		pids = append(pids, readPIDs(list)...)
	}
	return pids
}

// descendants lists all that a process started, and what those started in turn.
// It is a snapshot of a moving thing: who kills by it must look again.
func descendants(pid int) []int {
	pids := children(pid)
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
	}
	return pids
}

// scan lists the processes that match, our own excepted.
func scan(match func(pid int) bool) []int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err == nil && pid != os.Getpid() && match(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// folderVar tells the processes of a node from others.
const folderVar = "FOREWARM_NODE_FOLDER"

// below lists the processes that belong to a folder, by their environment, which
// they hand on to what they start: nodes have it in folderVar, containers are at
// home there. (Where a process happens to stand says nothing: somebody may have
// gone there to look.)
func below(folder string) []int {
	return scan(func(pid int) bool {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		for variable := range bytes.SplitSeq(env, []byte{0}) {
			name, value, _ := bytes.Cut(variable, []byte("="))
			path := string(value)
			switch string(name) {
			case folderVar, "HOME":
				if path == folder || strings.HasPrefix(path, folder+"/") {
					return true
				}
			}
		}
		return false
	})
}

// kill sends SIGKILL. A process that is gone already is fine, and nothing else can go wrong with our own.
func kill(pids []int) {
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// killUntilNone kills what list finds until it finds nothing, or until the limit.
func killUntilNone(limit time.Duration, list func() []int) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		pids := list()
		if len(pids) == 0 {
			return true
		}
		kill(pids)
		if time.Now().After(deadline) {
			return false
		}
	}
}

func readPIDs(file string) []int {
	data, _ := os.ReadFile(file)
	var pids []int
	for field := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// statFields gives the fields of /proc/PID/stat from the third (state) on; the
// second, the name, may hold anything.
func statFields(pid int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
}

func parent(pid int) int {
	if f := statFields(pid); len(f) > 1 {
		ppid, _ := strconv.Atoi(f[1])
		return ppid
	}
	return 0
}

// cpuOf gives the processor time of a process and of its children that ended.
func cpuOf(pid int) time.Duration {
	const utime, cstime, tick = 11, 14, 10 * time.Millisecond // USER_HZ is 100 on every architecture of Linux that Go has
	f := statFields(pid)
	if len(f) <= cstime {
		return 0
	}
	var sum time.Duration
	for _, field := range f[utime : cstime+1] {
		n, _ := strconv.ParseInt(field, 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

// memoryOf gives a process's resident bytes, now and at their peak.
func memoryOf(pid int) (now, peak int64) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return keyed(data, "VmRSS:") << 10, keyed(data, "VmHWM:") << 10
}

// keyed finds "key number" at the start of a line, as in most files of the kernel; 0 when it is not there.
func keyed(data []byte, key string) int64 {
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) > 1 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}
