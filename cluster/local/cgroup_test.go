package local

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestFindPlaces(t *testing.T) {
	const (
		hybrid = "30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro\n" +
			"31 30 0:27 / /sys/fs/cgroup/unified rw shared:2 - cgroup2 cgroup2 rw\n" +
			"32 30 0:28 / /sys/fs/cgroup/memory rw shared:3 - cgroup cgroup rw,memory\n" +
			"33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:4 - cgroup cgroup rw,cpu,cpuacct\n" +
			"34 30 0:30 / /sys/fs/cgroup/pids rw shared:5 - cgroup cgroup rw,pids\n"
		unified   = "29 22 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		container = "900 800 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n" +
			"901 800 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n" +
			"902 800 0:29 /docker/abc /sys/fs/cgroup/cpuacct ro - cgroup cgroup rw,cpuacct\n"
	)
	same := func(dir string) place { return place{dir, dir, dir, dir} }
	for _, tt := range []struct {
		claim, mounts, groups string
		want                  []place
	}{
		{"version 1 wins in a hybrid", hybrid, "5:pids:/user\n4:memory:/user\n3:cpu,cpuacct:/\n0::/user\n",
			[]place{{"/sys/fs/cgroup/memory/user", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/pids/user"}}},
		{"version 2 looks upwards", unified, "0::/user.slice/session-1.scope\n",
			[]place{same("/sys/fs/cgroup/user.slice/session-1.scope"), same("/sys/fs/cgroup/user.slice"), same("/sys/fs/cgroup")}},
		{"a container sees a part", container, "4:memory:/docker/abc\n3:cpu:/docker/abc\n2:cpuacct:/docker/abc/x\n",
			[]place{{"/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct/x", ""}}},
		{"nothing is mounted", "", "0::/\n", nil},
	} {
		d, got, err := findPlaces(parseMounts(tt.mounts), parseGroups(tt.groups))
		if !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.want != nil) || d.v2 != (tt.mounts == unified) {
			t.Errorf("%s: got %v (version 2: %v), %v, want %v", tt.claim, got, d.v2, err, tt.want)
		}
	}
}

// The files of version 2, on a machine that may have only version 1.
func TestVersion2(t *testing.T) {
	dir := t.TempDir()
	put := func(file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"memory.max", "memory.swap.max", "cpu.max", "pids.max"} {
		put(file, "")
	}
	put("memory.current", "5000000\n")
	put("memory.stat", "anon 1\ninactive_file 1000000\n")
	put("cpu.stat", "usage_usec 1500000\nuser_usec 1\n")
	put("memory.events", "low 0\noom 1\noom_kill 1\n")
	put("cgroup.procs", "12\n34\n")
	put("memory.peak", "7000000\n")

	at := place{dir, dir, dir, dir}
	c := &cell{d: version2, at: at}
	if err := version2.boundMemory(at, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := version2.boundProcesses(at, 64); err != nil {
		t.Fatal(err)
	}
	if err := c.throttle(0.25); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "cpu.max": "25000 100000", "pids.max": "64"} {
		if got, _ := os.ReadFile(filepath.Join(dir, file)); string(got) != want {
			t.Errorf("%s holds %q, want %q", file, got, want)
		}
	}
	if memory, cpu := c.use(); memory != 4_000_000 || cpu != 1500*time.Millisecond {
		t.Errorf("use = %d, %v, want 4000000 bytes without cache and 1.5s", memory, cpu)
	}
	if !c.overrun() || c.peak() != 7_000_000 || !reflect.DeepEqual(c.pids(), []int{12, 34}) {
		t.Errorf("overrun = %v, peak = %d, pids = %v", c.overrun(), c.peak(), c.pids())
	}
}
