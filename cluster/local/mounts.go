package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ownPlaces lists where this process may make groups: beside itself, and with
// version 2, where a group with processes cannot pass controllers on, further up.
func ownPlaces() (dialect, []place, error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return dialect{}, nil, err
	}
	own, err := ownGroups()
	if err != nil {
		return dialect{}, nil, err
	}
	return findPlaces(mounts, own)
}

func findPlaces(mounts map[string]mount, own map[string]string) (dialect, []place, error) {
	if _, ok := mounts["memory"]; ok {
		var at [3]string
		for i, controller := range []string{"memory", "cpu", "cpuacct"} {
			m, ok := mounts[controller]
			if !ok {
				return dialect{}, nil, fmt.Errorf("the %s controller is not mounted", controller)
			}
			at[i] = m.folder(own[controller])
		}
		p := place{at[0], at[1], at[2], ""}
		if m, ok := mounts["pids"]; ok {
			p.pids = m.folder(own["pids"])
		}
		return version1, []place{p}, nil
	}
	m, ok := mounts[""]
	if !ok {
		return dialect{}, nil, errors.New("no cgroups are mounted")
	}
	var places []place
	for dir := m.folder(own[""]); len(dir) >= len(m.point); dir = filepath.Dir(dir) {
		places = append(places, place{dir, dir, dir, dir})
	}
	return version2, places, nil
}

// mount is where a hierarchy, or the part of it below root, can be seen.
type mount struct{ root, point string }

// folder finds a group, given as in /proc/self/cgroup.
func (m mount) folder(group string) string {
	if rel, err := filepath.Rel(m.root, group); err == nil && !strings.HasPrefix(rel, "..") {
		return filepath.Join(m.point, rel)
	}
	return m.point
}

// cgroupMounts finds the mounts by controller; that of version 2 is under "".
func cgroupMounts() (map[string]mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	return parseMounts(string(data)), err
}

func parseMounts(mountinfo string) map[string]mount {
	mounts := map[string]mount{}
	for line := range strings.Lines(mountinfo) {
		// proc(5): id parent device root point options [tags] - type source super-options
		head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
		f, g := strings.Fields(head), strings.Fields(tail)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		switch m := (mount{f[3], f[4]}); g[0] {
		case "cgroup2":
			mounts[""] = m
		case "cgroup":
			for option := range strings.SplitSeq(g[2], ",") {
				mounts[option] = m
			}
		}
	}
	return mounts
}

// ownGroups finds our group by controller, that of version 2 under "".
func ownGroups() (map[string]string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	return parseGroups(string(data)), err
}

func parseGroups(file string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(file) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for controller := range strings.SplitSeq(f[1], ",") {
				own[controller] = f[2]
			}
		}
	}
	return own
}
