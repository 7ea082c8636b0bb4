package local

import (
	"errors"
	"fmt"

	"github.com/forewarm/forewarm/cluster"
)

// limits gives each container of a node its fence.
type limits struct {
	vcpu  float64
	tasks int // of a container
	off   bool
	d     dialect
	group place         // the node's; cells lie below it
	spare chan madeCell // made ahead by makeCells
	stop  chan struct{} // ends makeCells
	done  chan struct{} // closed when it has ended
}

type madeCell struct {
	cell *cell
	err  error
}

// newLimits makes the node's own group. With an error the limits work, but bound nothing.
func newLimits(spec nodeSpec) (*limits, error) {
	l := &limits{
		vcpu:  spec.VCPU,
		tasks: spec.Processes,
		spare: make(chan madeCell),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	var err error
	if spec.NoLimits {
		err = errors.New("switched off")
	} else {
		l.d, l.group, err = makeGroup(spec.group(), spec.Memory, spec.VCPU)
	}
	if err != nil {
		l.off = true
		close(l.done)
		return l, err
	}
	go l.makeCells()
	return l, nil
}

// makeCells keeps one cell ready, so that a container need not wait for it.
func (l *limits) makeCells() {
	defer close(l.done)
	for n := 1; ; n++ {
		c, err := newCell(l.d, l.group.below(fmt.Sprintf("c%d", n)))
		select {
		case l.spare <- madeCell{c, err}:
		case <-l.stop:
			if err == nil {
				c.remove()
			}
			return
		}
	}
}

// fence makes the fence of a container that lives in a folder, as a user of its
// own unless that is 0. Memory and processes are bounded from the start;
// processors are not, until throttle.
func (l *limits) fence(folder string, user int, memory int64) (fence, error) {
	if l.off {
		return &bare{folder: folder, user: user}, nil
	}
	made := <-l.spare
	if made.err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", made.err)
	}
	if err := l.d.boundMemory(made.cell.at, memory); err != nil {
		made.cell.remove()
		return nil, fmt.Errorf("bound a cgroup's memory: %w", err)
	}
	if err := l.d.boundProcesses(made.cell.at, l.tasks); err != nil {
		made.cell.remove()
		return nil, fmt.Errorf("bound a cgroup's processes: %w", err)
	}
	return made.cell, nil
}

// share is how many processors a container of so much memory may use.
func (l *limits) share(memory int64) float64 {
	return min(l.vcpu, cluster.CPUPerGiB*float64(memory)/float64(cluster.GiB))
}

// close ends the making of cells. The groups go with the node.
func (l *limits) close() {
	close(l.stop)
	<-l.done
}
