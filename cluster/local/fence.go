package local

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

// fence is around the processes of one container: it knows them all, measures
// them, and bounds them if it can.
type fence interface {
	// start starts the container's first process inside, by launch, which runs apart. Once.
	start(cmd *exec.Cmd, launch func(*exec.Cmd) error) error
	// throttle bounds the processors from now on.
	throttle(cpus float64) error
	// seal keeps processes inside from starting further ones, if it can.
	seal()
	// pids lists the processes inside that still run.
	pids() []int
	// use measures memory now, and processor time since the start.
	use() (memory int64, cpu time.Duration)
	// peak gives the most memory used since resetPeak, or since the start where there is no resetting.
	peak() int64
	resetPeak()
	// overrun says whether a process inside was killed for want of memory.
	overrun() bool
	// remove takes the fence away. Nothing may run inside any more.
	remove()
}

// bare is a fence without cgroups, which bounds nothing. It finds processes by
// their user if the container has one of its own, else by descent and by the
// folder that their environment names.
type bare struct {
	folder string
	user   int
	pid    atomic.Int64 // of the first process; 0 before the start
}

func (b *bare) start(cmd *exec.Cmd, launch func(*exec.Cmd) error) (err error) {
	apart(func() { err = launch(cmd) })
	if err != nil {
		return err
	}
	b.pid.Store(int64(cmd.Process.Pid))
	return nil
}

func (b *bare) throttle(float64) error { return nil }

func (b *bare) seal() {}

func (b *bare) pids() []int {
	if b.user != 0 {
		return ofUsers(b.user)
	}
	return append(b.tree(), below(b.folder)...)
}

// tree is cheaper than pids and misses those whose parents have ended.
func (b *bare) tree() []int {
	pid := int(b.pid.Load())
	if pid == 0 {
		return nil
	}
	if state := statFields(pid); len(state) == 0 || state[0] == "Z" {
		return descendants(pid)
	}
	return append(descendants(pid), pid)
}

func (b *bare) use() (memory int64, cpu time.Duration) {
	for _, pid := range b.tree() {
		now, _ := memoryOf(pid)
		memory += now
		cpu += cpuOf(pid)
	}
	return memory, cpu
}

func (b *bare) peak() (sum int64) {
	for _, pid := range b.tree() {
		_, peak := memoryOf(pid)
		sum += peak
	}
	return sum
}

// resetPeak writes what the kernel takes for "forget VmHWM" (proc(5), clear_refs).
func (b *bare) resetPeak() {
	for _, pid := range b.tree() {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

func (b *bare) overrun() bool { return false }
func (b *bare) remove()       {}
