package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/forewarm/forewarm/catalog"
	nodepb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// isolated skips a test where containers get no users of their own.
func isolated(t *testing.T) {
	t.Helper()
	if err := cannotIsolate(200_000); err != nil {
		t.Skip("containers are not isolated here: ", err)
	}
	visible(t)
}

// visible skips a test where containers are isolated so well that we cannot look
// into them either.
func visible(t *testing.T) {
	t.Helper()
	if cannotIsolate(200_000) != nil {
		return
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65_534, Gid: 65_534}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", cmd.Process.Pid)); err != nil {
		t.Skip("this root may not look into others' processes: ", err)
	}
}

// inhabitant is the first process of a container, seen from outside.
type inhabitant struct {
	testing.TB
	pid    int
	folder string // its working folder
}

// inhabitants lists those below a folder whose command lines end like that.
func inhabitants(t testing.TB, folder, command string) (all []inhabitant) {
	for _, pid := range below(folder) {
		cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.HasSuffix(strings.ReplaceAll(string(cmd), "\x00", " "), command+" ") {
			dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
			all = append(all, inhabitant{t, pid, dir})
		}
	}
	return all
}

// status gives a line of /proc/PID/status.
func (p inhabitant) status(key string) string {
	p.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		p.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "\n"+key+":")
	text, _, _ = strings.Cut(text, "\n")
	return strings.Join(strings.Fields(text), " ")
}

// inner is the process's number where it lives.
func (p inhabitant) inner() string {
	ids := strings.Fields(p.status("NSpid"))
	return ids[len(ids)-1]
}

func TestContainersHaveNoRights(t *testing.T) {
	isolated(t)
	b := newCluster(t, ManagerOptions{Node: NodeOptions{UIDBase: 300_000, Processes: 100, Files: 2000}})
	seen := map[int]bool{}
	for range 2 {
		n := b.reserve()
		for range 2 {
			n.create("probe", 256)
		}
	}
	all := inhabitants(t, b.folder, "test probe")
	if len(all) != 4 {
		t.Fatalf("there are %d containers, want 4", len(all))
	}
	for _, p := range all {
		user, _ := strconv.Atoi(strings.Fields(p.status("Uid"))[0])
		if user < 300_000 || user >= 300_000+userCount || seen[user] {
			t.Errorf("user %d is none of the range, or has two containers", user)
		}
		seen[user] = true
		four := strings.TrimSpace(strings.Repeat(strconv.Itoa(user)+" ", 4))
		for key, want := range map[string]string{
			"Uid": four, "Gid": four, "Groups": "", "NoNewPrivs": "1",
			"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
		} {
			if got := p.status(key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.pid))
		limits := strings.Join(strings.Fields(string(data)), " ")
		for _, want := range []string{"Max open files 2000 2000", "Max processes 100 100", "Max core file size 0 0"} {
			if !strings.Contains(limits, want) {
				t.Errorf("the limits are %s, want %s", limits, want)
			}
		}
		for dir, mode := range map[string]os.FileMode{p.folder: 0o700, filepath.Join(p.folder, "tmp"): 0o700, filepath.Dir(p.folder): 0o711} {
			info, err := os.Stat(dir)
			if err != nil || info.Mode().Perm() != mode || mode == 0o700 && info.Sys().(*syscall.Stat_t).Uid != uint32(user) {
				t.Errorf("%s is %v, %v, want mode %v", dir, info, err, mode)
			}
		}
	}
}

// What one container can do to others, to its node and to the machine.
func TestContainersCannotReachOut(t *testing.T) {
	isolated(t)
	for _, o := range []NodeOptions{{}, {NoLimits: true, NoNamespaces: true}} {
		t.Run(fmt.Sprintf("NoNamespaces=%v", o.NoNamespaces), func(t *testing.T) {
			b := newCluster(t, ManagerOptions{Node: o})
			n := b.reserve()
			n.create("echo", 256)
			c := n.create("probe", 256)
			victim, own, node := inhabitants(t, b.folder, "test echo")[0], inhabitants(t, b.folder, "test probe")[0], inhabitants(t, b.folder, roleNode)[0]
			secret := filepath.Join(victim.folder, "secret")
			if err := os.WriteFile(secret, nil, 0o666); err != nil {
				t.Fatal(err)
			}
			environment := "permission denied"
			if victim.inner() != strconv.Itoa(victim.pid) { // in a namespace, with a /proc that hides
				environment = "no such file"
			}
			for _, tt := range []struct{ claim, event, want string }{
				{"kill another container", "kill " + victim.inner(), "operation not permitted"},
				{"kill its node", "kill " + node.inner(), "operation not permitted"},
				{"kill the watchdog", "kill 1", "operation not permitted"},
				{"trace another container", "trace " + victim.inner(), "operation not permitted"},
				{"read another's environment", "read /proc/" + victim.inner() + "/environ", environment},
				{"read its node's environment", "read /proc/" + node.inner() + "/environ", environment},
				{"read another's memory", "read /proc/" + victim.inner() + "/mem", environment},
				{"read another's file", "read " + secret, "permission denied"},
				{"list another's folder", "list " + victim.folder, "permission denied"},
				{"write into another's folder", "write " + filepath.Join(victim.folder, "x"), "permission denied"},
				{"list its node's folder", "list " + filepath.Dir(own.folder), "permission denied"},
				{"read its node's lock", "read " + filepath.Join(filepath.Dir(own.folder), lockName), "permission denied"},
				{"take users", "read " + usersFile, "permission denied"},
				{"write to the machine", "write /etc/forewarm-test", "permission denied"},
				{"raise its limits", "raise", "operation not permitted"},
				{"write into its own folder", "write " + filepath.Join(own.folder, "x"), "<nil>"},
				{"write into its own folder for temporary files", "write " + filepath.Join(own.folder, "tmp", "x"), "<nil>"},
				{"see itself", "read /proc/self/environ", "<nil>"},
			} {
				if a := n.mustInvoke(c, tt.event); !strings.Contains(a.body, tt.want) {
					t.Errorf("%s: %q = %q, want %q", tt.claim, tt.event, a.body, tt.want)
				}
			}
			removed(n, c)
			if _, err := os.Stat(own.folder); !os.IsNotExist(err) {
				t.Errorf("the folder of a removed container: %v, want it gone", err)
			}
			n.mustInvoke(n.create("echo", 256), "")
		})
	}
}

// The three standard descriptors are all that a container gets. Others that it
// has are its own: its sockets, the folder that is listed, and what Go's runtime
// opens: events, and the cgroup that says how many processors there are.
func TestContainersInheritNoDescriptors(t *testing.T) {
	extra, err := os.Open(".") // a stranger's, which the cluster was started with
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, extra.Fd(), syscall.F_SETFD, 0); e != 0 {
		t.Fatal(e)
	}
	n := newCluster(t, ManagerOptions{}).reserve()
	var w struct{ FDs map[string]string }
	if err := json.Unmarshal([]byte(n.mustInvoke(n.create("world", 256), "").body), &w); err != nil {
		t.Fatal(err)
	}
	if w.FDs["0"] != os.DevNull || !strings.HasPrefix(w.FDs["1"], "pipe:") || !strings.HasPrefix(w.FDs["2"], "pipe:") {
		t.Errorf("standard descriptors are %v", w.FDs)
	}
	for fd, target := range w.FDs {
		own := target == "" || slices.ContainsFunc([]string{"socket:", "anon_inode:[event", "/proc/", "/sys/fs/cgroup/cpu"}, func(prefix string) bool {
			return strings.HasPrefix(target, prefix)
		})
		if n, _ := strconv.Atoi(fd); n > 2 && !own {
			t.Errorf("descriptor %s is %s", fd, target)
		}
	}
}

func TestIsolationOff(t *testing.T) {
	b := newCluster(t, ManagerOptions{Node: NodeOptions{NoIsolation: true}})
	b.reserve().create("echo", 256)
	p := inhabitants(t, b.folder, "test echo")[0]
	if user, rights := p.status("Uid"), p.status("NoNewPrivs"); strings.Fields(user)[0] != strconv.Itoa(os.Getuid()) || rights != "0" {
		t.Errorf("without isolation the user is %q and NoNewPrivs %q", user, rights)
	}
}

// Without root a cluster works, says once what it lacks, and takes what rights it can.
func TestIsolationWithoutRoot(t *testing.T) {
	isolated(t) // else all the other tests show it
	const nobody = 65_534
	options, err := json.Marshal(ManagerOptions{Node: NodeOptions{Functions: testFunctions(), Folder: openFolder(t), Self: []string{ownProgram}}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := self("test", "manager")
	cmd.Env = append(os.Environ(), "OPTIONS="+string(options))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var log lockedBuffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	var address [64]byte
	size, err := out.Read(address[:])
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	b := &testCluster{TB: t, rm: pb.NewResourceManagerClient(dial(t, strings.TrimSpace(string(address[:size]))))}
	for range 2 {
		n := b.reserve()
		n.mustInvoke(n.create("echo", 256), "x")
	}
	all := scan(func(pid int) bool {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return bytes.Contains(env, []byte("FUNCTION_NAME=echo")) && inhabitant{t, pid, ""}.status("Uid") == "65534 65534 65534 65534"
	})
	if len(all) != 2 || (inhabitant{t, all[0], ""}).status("NoNewPrivs") != "1" {
		t.Errorf("there are containers %v, want two without the right to new privileges", all)
	}
	if n := strings.Count(log.String(), "containers run as the same user as their node"); n != 1 {
		t.Errorf("the log says %d times that containers share their user, want once:\n%s", n, log.String())
	}
}

func TestFilesThatAreClosed(t *testing.T) {
	isolated(t)
	open, shut := openFolder(t), t.TempDir()
	if err := os.Chmod(shut, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, mode := range map[string]os.FileMode{filepath.Join(shut, "run"): 0o755, filepath.Join(open, "run"): 0o744, filepath.Join(open, "app.sh"): 0o600} {
		if err := os.WriteFile(file, []byte("#!/bin/sh\nexit 1\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	n := newCluster(t, ManagerOptions{Node: NodeOptions{Base: open, Functions: []catalog.Function{
		{Name: "shut", Command: []string{filepath.Join(shut, "run")}},
		{Name: "no-program", Command: []string{"./run"}},
		{Name: "no-script", Command: []string{"sh", "app.sh"}},
	}}}).reserve()
	for function, closed := range map[string]string{"shut": shut, "no-program": filepath.Join(open, "run"), "no-script": filepath.Join(open, "app.sh")} {
		_, err := n.CreateContainer(t.Context(), createRequest(function, function, 256))
		for _, words := range []string{"ermission denied", closed + " is closed to the container's own user", "(chmod o+rX)"} {
			if !strings.Contains(fmt.Sprint(err), words) {
				t.Errorf("%s: CreateContainer = %v, want it to say %q", function, err, words)
			}
		}
	}
	o := NodeOptions{Folder: shut, Logger: testLog(t)}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := RunNode(ctx, o); err == nil || !strings.Contains(err.Error(), "may not enter "+shut) {
		t.Errorf("RunNode with a folder that is closed = %v", err)
	}
}

// A fork bomb is bounded, does not slow others beyond measure, and goes with its container.
func TestForkBomb(t *testing.T) {
	isolated(t)
	const most = 80 // threads of the bomber among them
	for _, o := range []NodeOptions{{Processes: most}, {Processes: most, NoLimits: true}} {
		t.Run(fmt.Sprintf("NoLimits=%v", o.NoLimits), func(t *testing.T) {
			b := newCluster(t, ManagerOptions{Node: o})
			n := b.reserve()
			c, other := n.create("probe", 512), n.create("echo", 512)
			bomber := inhabitants(t, b.folder, "test probe")[0]
			user, _ := strconv.Atoi(strings.Fields(bomber.status("Uid"))[0])
			n.mustInvoke(c, "bomb")
			worst, large := time.Duration(0), 0
			for range 10 {
				begin := time.Now()
				n.mustInvoke(other, "x")
				worst = max(worst, time.Since(begin))
				large = max(large, len(ofUsers(user)))
				time.Sleep(20 * time.Millisecond)
			}
			t.Logf("up to %d processes; the slowest other call took %v", large, worst)
			if large > most || large < most/2 || worst > 2*time.Second {
				t.Errorf("a bomb of up to %d processes, want no more than %d and not many less; another function's call took %v", large, most, worst)
			}
			removed(n, c)
			if left := ofUsers(user); len(left) > 0 {
				t.Errorf("%d processes are left of the bomb", len(left))
			}
			if stats, err := n.GetStats(t.Context(), &nodepb.GetStatsRequest{}); err != nil || len(stats.ContainerStatsList) != 1 {
				t.Errorf("GetStats after the bomb = %v, %v", stats, err)
			}
		})
	}
}

// Without cgroups processes are found by what they carry. A user cannot be taken
// off, unlike an environment: not even when the parent is gone.
func TestNobodyHides(t *testing.T) {
	isolated(t)
	b := newCluster(t, ManagerOptions{Node: NodeOptions{NoLimits: true, NoNamespaces: true}})
	n := b.reserve()
	c := n.create("ghost", 256)
	user, _ := strconv.Atoi(strings.Fields(inhabitants(t, b.folder, "test ghost")[0].status("Uid"))[0])
	if all := ofUsers(user); len(all) != 2 {
		t.Fatalf("the ghost's processes are %v, want two", all)
	}
	if _, err := n.invoke(c, "", time.Minute); err != nil { // ends the first process
		t.Fatal(err)
	}
	waitUntil(t, "nothing is left", func() bool { return len(ofUsers(user)) == 0 })
}

func TestUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may open ", usersFile)
	}
	open := func() *users {
		file, err := openUsers()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return newUsers(file, 400_000)
	}
	a, b := open(), open()
	a.next, b.next = userCount-2, userCount-2
	take := func(u *users) int {
		user, err := u.take()
		if err != nil {
			t.Fatal(err)
		}
		return user - 400_000
	}
	got := []int{take(a), take(b), take(a), take(b)}
	if want := []int{userCount - 2, userCount - 1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("two nodes take %v, want %v", got, want)
	}
	a.give(400_000 + userCount - 2)
	b.next = userCount - 2
	if got := take(b); got != userCount-2 {
		t.Errorf("a user that was given back is not taken again, but %d", got)
	}
	if user, err := (*users)(nil).take(); user != 0 || err != nil {
		t.Errorf("without users take = %d, %v, want 0", user, err)
	}
}

func TestMapped(t *testing.T) {
	for _, tt := range []struct {
		claim, table string
		want         bool
	}{
		{"all there are", "         0          0 4294967295\n", true},
		{"those of a container without root outside", "0 1000 1\n1 100000 65536\n", false},
		{"many", "0 1000 1\n1 100000 400000\n", true},
		{"none", "", false},
	} {
		if got := mapped(tt.table, 200_000, userCount); got != tt.want {
			t.Errorf("%s: mapped(%q) = %v, want %v", tt.claim, tt.table, got, tt.want)
		}
	}
}
