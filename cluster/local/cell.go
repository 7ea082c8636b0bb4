package local

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cell is a fence made of a cgroup.
//
// Moving a process into a group can take longer than starting one: the kernel
// waits for a grace period when nobody was moved for a while (13 ms measured,
// against 0.2 ms for the start). So nothing is moved while somebody waits. With
// version 2 the kernel starts processes right in a group. With version 1 a cell
// keeps a thread that was moved into it ahead of time, and what that thread
// starts is inside from its first instruction.
type cell struct {
	d  dialect
	at place

	folder *os.File          // version 2: what the kernel wants to start a process inside
	peaks  *os.File          // version 2: a reset holds for the file that it was written to
	jobs   chan func() error // version 1: to the thread inside; closed when the cell goes
	done   chan error
}

func newCell(d dialect, at place) (*cell, error) {
	if err := at.make(); err != nil {
		at.remove()
		return nil, err
	}
	c := &cell{d: d, at: at, jobs: make(chan func() error), done: make(chan error)}
	var err error
	if d.v2 {
		c.peaks, _ = os.OpenFile(filepath.Join(at.memory, d.peak), os.O_RDWR, 0) // not before Linux 6.12
		c.folder, err = os.Open(at.memory)
	} else {
		go apart(c.inside)
		err = <-c.done
	}
	if err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

// inside runs apart: its thread joins the cell, starts one process and ends.
func (c *cell) inside() {
	for _, dir := range c.at.folders() {
		if err := write(dir, "tasks", strconv.Itoa(unix.Gettid())); err != nil {
			c.done <- err
			return
		}
	}
	c.done <- nil
	if launch := <-c.jobs; launch != nil {
		c.done <- launch()
	}
}

func (c *cell) start(cmd *exec.Cmd, launch func(*exec.Cmd) error) (err error) {
	if c.d.v2 {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(c.folder.Fd())
		apart(func() { err = launch(cmd) })
		return err
	}
	c.jobs <- func() error { return launch(cmd) }
	return <-c.done
}

func (c *cell) throttle(cpus float64) error { return c.d.boundCPU(c.at, cpus) }

func (c *cell) seal() {
	if c.at.pids != "" {
		_ = write(c.at.pids, processLimit, "0")
	}
}

func (c *cell) pids() []int { return readPIDs(filepath.Join(c.at.memory, members)) }

func (c *cell) use() (memory int64, cpu time.Duration) {
	stat, _ := os.ReadFile(filepath.Join(c.at.memory, "memory.stat"))
	memory = max(0, number(c.at.memory, c.d.usage)-keyed(stat, c.d.cache))
	if c.d.cpuTimeKey == "" {
		return memory, time.Duration(number(c.at.cpuacct, c.d.cpuTime)) * c.d.cpuTimeUnit
	}
	stat, _ = os.ReadFile(filepath.Join(c.at.cpuacct, c.d.cpuTime))
	return memory, time.Duration(keyed(stat, c.d.cpuTimeKey)) * c.d.cpuTimeUnit
}

func (c *cell) peak() int64 {
	if c.peaks == nil {
		return number(c.at.memory, c.d.peak)
	}
	var text [32]byte
	n, _ := c.peaks.ReadAt(text[:], 0)
	return parseNumber(text[:n])
}

func (c *cell) resetPeak() {
	if c.peaks != nil {
		_, _ = c.peaks.WriteAt([]byte("reset"), 0) // any text does
	} else if !c.d.v2 {
		_ = write(c.at.memory, c.d.peak, "0")
	}
}

func (c *cell) overrun() bool {
	data, _ := os.ReadFile(filepath.Join(c.at.memory, c.d.ooms))
	return keyed(data, "oom_kill") > 0
}

func (c *cell) remove() {
	close(c.jobs)
	c.folder.Close() // nil with version 1, which is no harm
	c.peaks.Close()
	c.at.remove()
}

// number reads a file that holds just a number; 0 when it cannot.
func number(dir, file string) int64 {
	data, _ := os.ReadFile(filepath.Join(dir, file))
	return parseNumber(data)
}

func parseNumber(data []byte) int64 {
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n
}
