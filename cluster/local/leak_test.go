package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	nodepb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// Whatever is killed with -9, soon nothing is left of what depended on it: not
// the node, not its watchdog, not a container, not even a process that a function
// put into a session of its own below a parent that ended.
func TestNothingSurvives(t *testing.T) {
	for _, tt := range []struct {
		claim string
		kill  []string // parts of the command lines to kill, together
	}{
		{"a killed node", []string{roleNode}},
		{"a killed watchdog", []string{roleWatchdog}},
		{"a killed manager", []string{"manager"}},
		{"a killed parent of the manager", []string{"up"}},
		{"a killed manager and watchdog", []string{"manager", roleWatchdog}},
		{"a killed watchdog and node", []string{roleWatchdog, roleNode}},
		{"everything of ours killed but functions", []string{"up", "manager", roleWatchdog, roleNode}},
	} {
		for _, o := range []NodeOptions{{}, {NoLimits: true}, {NoNamespaces: true}, {NoLimits: true, NoNamespaces: true}} {
			t.Run(fmt.Sprintf("%s/NoLimits=%v,NoNamespaces=%v", tt.claim, o.NoLimits, o.NoNamespaces), func(t *testing.T) {
				t.Parallel()
				w := startVictims(t, o)
				// The manager is not below the node: it may live on, and then says that the node is gone.
				spared := func(cmd string) bool {
					return !slices.Contains(tt.kill, "manager") && !slices.Contains(tt.kill, "up") &&
						(strings.HasSuffix(cmd, "test manager") || strings.HasSuffix(cmd, "test up"))
				}
				w.kill(tt.kill)
				begin := time.Now()
				for {
					if !w.namespaced && len(tt.kill) == 4 { // nobody is left who could do anything but the next start
						clearLeftovers(w.folder, testLog(t))
					}
					left := slices.DeleteFunc(w.processes(), func(p process) bool { return spared(p.cmd) })
					if len(left) == 0 {
						break
					}
					if time.Since(begin) > 5*time.Second {
						t.Fatalf("5s later there are still %v", left)
					}
					time.Sleep(5 * time.Millisecond)
				}
				d := time.Since(begin)
				t.Logf("gone after %v", d)
				if d > time.Second {
					t.Errorf("all were gone only after %v, want 1s", d)
				}
				if !slices.Contains(tt.kill, "manager") && !slices.Contains(tt.kill, "up") {
					waitUntil(t, "the manager knows that the node is gone", func() bool {
						usage, err := w.rm.GetNodesUsage(t.Context(), &pb.GetNodesUsageRequest{})
						return err == nil && usage.Nodes[0].ReleasedTimeTimestampMs > 0
					})
				}
				waitUntil(t, "folders and groups are gone, or would be at the next start", func() bool {
					if len(tt.kill) > 1 {
						clearLeftovers(w.folder, testLog(t))
					}
					left, _ := os.ReadDir(w.folder)
					return len(left) == 0 && !w.hasGroup()
				})
			})
		}
	}
}

// victims are a manager below a parent, a node, and containers with processes that hide.
type victims struct {
	testing.TB
	mark   string // in the environment of all of them
	folder string
	group  string // the node's cgroup
	rm     pb.ResourceManagerClient

	namespaced bool
}

func startVictims(t *testing.T, o NodeOptions) *victims {
	visible(t)
	w := &victims{TB: t, mark: "TEST_MARK=" + randomID(), folder: openFolder(t)}
	o.Functions, o.Folder = testFunctions(w.mark), w.folder
	options, err := json.Marshal(ManagerOptions{Node: o})
	if err != nil {
		t.Fatal(err)
	}
	cmd := self("test", "up")
	cmd.Env = append(os.Environ(), "OPTIONS="+string(options), w.mark)
	var log lockedBuffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		for _, p := range w.processes() { // also after a failure nothing shall stay
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
		clearLeftovers(w.folder, testLog(t))
		if t.Failed() {
			t.Logf("the victims' log:\n%s", log.String())
		}
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the manager does not say where it is: %v\n%s", err, log.String())
	}
	w.rm = pb.NewResourceManagerClient(dial(t, strings.TrimSpace(address)))
	n := (&testCluster{TB: t, rm: w.rm}).reserve()
	stats, err := n.GetStats(t.Context(), &nodepb.GetStatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w.group = nodeSpec{LiveID: stats.LiveId}.group()
	n.create("daemon", 256)
	n.create("stubborn", 256)
	if !o.NoLimits && limited(t) && !w.hasGroup() {
		t.Errorf("there is no group %s", w.group)
	}
	waitUntil(t, "the daemon has hidden", func() bool {
		all := w.processes()
		return len(all) == 7 && slices.ContainsFunc(all, func(p process) bool { return strings.HasSuffix(p.cmd, "test orphan") })
	})
	w.namespaced = inhabitant{t, w.find([]string{roleWatchdog})[0], ""}.inner() == "1"
	return w
}

type process struct {
	pid int
	cmd string
}

// processes lists the victims that live, as seen from outside.
func (w *victims) processes() []process {
	var all []process
	for _, pid := range scan(func(pid int) bool {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return bytes.Contains(env, []byte(w.mark))
	}) {
		cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		all = append(all, process{pid, strings.TrimSpace(strings.ReplaceAll(string(cmd), "\x00", " "))})
	}
	return all
}

// kill kills those with the given last words on their command lines, all at once.
func (w *victims) kill(roles []string) {
	w.Helper()
	pids := w.find(roles)
	if len(pids) != len(roles) {
		w.Fatalf("found %v to kill %v", pids, roles)
	}
	kill(pids)
}

func (w *victims) find(roles []string) (pids []int) {
	for _, p := range w.processes() {
		if i := strings.LastIndexByte(p.cmd, ' '); slices.Contains(roles, p.cmd[i+1:]) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// hasGroup says whether the node's cgroup exists.
func (w *victims) hasGroup() bool {
	_, places, _ := ownPlaces()
	for _, p := range places {
		for _, dir := range p.below(w.group).folders() {
			if _, err := os.Stat(dir); err == nil {
				return true
			}
		}
	}
	return false
}

// A function that hides a process does not keep it when its container is removed.
func TestNothingSurvivesItsContainer(t *testing.T) {
	visible(t)
	for _, noLimits := range []bool{false, true} {
		b := newCluster(t, ManagerOptions{Node: NodeOptions{NoLimits: noLimits}})
		n := b.reserve()
		c := n.create("daemon", 256)
		other := n.create("daemon", 256)
		waitUntil(t, "both have hidden a process", func() bool { return len(orphans(b.folder)) == 2 })
		removed(n, c)
		if left := orphans(b.folder); len(left) != 1 {
			t.Errorf("NoLimits=%v: %d hidden processes are left after one of two containers was removed", noLimits, len(left))
		}
		n.mustInvoke(other, "")
		b.end()
		if left := below(b.folder); len(left) != 0 {
			t.Errorf("NoLimits=%v: the manager left %v", noLimits, left)
		}
	}
}

// orphans lists hidden processes below a folder.
func orphans(folder string) []int {
	return slices.DeleteFunc(below(folder), func(pid int) bool {
		cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return !bytes.HasSuffix(cmd, []byte("\x00orphan\x00"))
	})
}

func TestTied(t *testing.T) {
	ctx := context.Background()
	if Tied(ctx) != ctx {
		t.Error("Tied without a tie is not the context that it was given")
	}
	cmd := exec.Command("sleep", "1000")
	release, err := Tie(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if len(cmd.ExtraFiles) != 1 || !slices.Contains(cmd.Env, tieFD+"=3") {
		t.Errorf("Tie gave files %v and environment %v", cmd.ExtraFiles, cmd.Env)
	}
}
