package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Files that both versions have: the processes of a group, and how many tasks (threads of processes) it may have.
const (
	members      = "cgroup.procs"
	processLimit = "pids.max"
)

// dialect is what differs between the two versions of cgroups.
type dialect struct {
	v2               bool
	limit, swapLimit string // files in bytes
	usage, peak      string // files in bytes: now, and at most
	cache            string // key in memory.stat: what is given up when somebody needs it
	ooms             string // file with an oom_kill line
	cpuTime          string // file
	cpuTimeKey       string // line in it; none if it is just a number
	cpuTimeUnit      time.Duration
}

var (
	version1 = dialect{
		limit: "memory.limit_in_bytes", swapLimit: "memory.memsw.limit_in_bytes",
		usage: "memory.usage_in_bytes", peak: "memory.max_usage_in_bytes",
		cache: "total_inactive_file", ooms: "memory.oom_control",
		cpuTime: "cpuacct.usage", cpuTimeUnit: time.Nanosecond,
	}
	version2 = dialect{
		v2:    true,
		limit: "memory.max", swapLimit: "memory.swap.max",
		usage: "memory.current", peak: "memory.peak",
		cache: "inactive_file", ooms: "memory.events",
		cpuTime: "cpu.stat", cpuTimeKey: "usage_usec", cpuTimeUnit: time.Microsecond,
	}
)

// place is a group of processes: one folder of version 2, or one per controller of version 1.
type place struct {
	memory, cpu, cpuacct string
	pids                 string // empty where processes cannot be counted
}

func (p place) below(name string) place {
	q := place{filepath.Join(p.memory, name), filepath.Join(p.cpu, name), filepath.Join(p.cpuacct, name), ""}
	if p.pids != "" {
		q.pids = filepath.Join(p.pids, name)
	}
	return q
}

// folders lists the distinct ones: controllers may be mounted together.
func (p place) folders() []string {
	all := []string{p.memory, p.cpu, p.cpuacct}
	if p.pids != "" {
		all = append(all, p.pids)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p place) make() error {
	for _, dir := range p.folders() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// remove takes away the groups, which must be empty. A process that was killed
// counts until its status was taken, so it is tried for a while.
func (p place) remove() {
	for _, dir := range p.folders() {
		for range 100 {
			if err := unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// makeGroup makes a node's group, bounded to what the node has.
func makeGroup(name string, memory int64, cpus float64) (dialect, place, error) {
	d, places, err := ownPlaces()
	if err != nil {
		return d, place{}, err
	}
	err = errors.New("no group can be made")
	for _, p := range places {
		if d.v2 {
			_ = write(p.memory, "cgroup.subtree_control", "+memory +cpu") // fails where it need not be, too
			_ = write(p.memory, "cgroup.subtree_control", "+pids")
		}
		group := p.below(name)
		if err = d.fit(group, memory, cpus); err == nil {
			return d, group, nil
		}
		group.remove()
	}
	return d, place{}, err
}

// fit makes a group that can hold others.
func (d dialect) fit(group place, memory int64, cpus float64) error {
	if err := group.make(); err != nil {
		return err
	}
	if d.v2 {
		if err := write(group.memory, "cgroup.subtree_control", "+memory +cpu"); err != nil {
			return err
		}
		_ = write(group.memory, "cgroup.subtree_control", "+pids") // boundProcesses does without
	}
	if err := d.boundMemory(group, memory); err != nil {
		return err
	}
	return d.boundCPU(group, cpus)
}

func (d dialect) boundMemory(p place, bytes int64) error {
	if err := write(p.memory, d.limit, fmt.Sprint(bytes)); err != nil {
		return err
	}
	swap := bytes // version 1 counts both together
	if d.v2 {
		swap = 0
	}
	if err := write(p.memory, d.swapLimit, fmt.Sprint(swap)); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return err // a kernel that does not count swap has no such file
	}
	return nil
}

func (d dialect) boundCPU(p place, cpus float64) error {
	const period = 100_000          // us, the kernel's default
	quota := max(1000, cpus*period) // us, the kernel's least
	if d.v2 {
		return write(p.cpu, "cpu.max", fmt.Sprintf("%.0f %d", quota, period))
	}
	return write(p.cpu, "cpu.cfs_quota_us", fmt.Sprintf("%.0f", quota))
}

func (d dialect) boundProcesses(p place, most int) error {
	if p.pids == "" {
		return nil
	}
	if err := write(p.pids, processLimit, fmt.Sprint(most)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// groupPIDs lists the processes in a node's group and in those below it.
func groupPIDs(name string) (pids []int) {
	_, places, _ := ownPlaces()
	for _, p := range places {
		for _, dir := range p.below(name).folders() {
			inside, _ := filepath.Glob(filepath.Join(dir, "*", members))
			for _, file := range append(inside, filepath.Join(dir, members)) {
				pids = append(pids, readPIDs(file)...)
			}
		}
	}
	return pids
}

// removeCgroups takes a node's group away, with those below it.
func removeCgroups(name string) {
	_, places, _ := ownPlaces()
	for _, p := range places {
		for _, dir := range p.below(name).folders() {
			inside, _ := filepath.Glob(filepath.Join(dir, "*", members))
			for _, file := range inside {
				sub := filepath.Dir(file)
				place{sub, sub, sub, ""}.remove()
			}
			place{dir, dir, dir, ""}.remove()
		}
	}
}

func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
