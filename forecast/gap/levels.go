package gap

import (
	"math/bits"
	"time"
)

// ownLevels have laws of their own; levels above share one by quarter octaves of the level.
const ownLevels = 32

// groupOf is the index of the laws of level k.
func groupOf(k int) int {
	if k < ownLevels {
		return k
	}
	octave := bits.Len(uint(k)) - 1
	return ownLevels + (octave-5)*4 + k>>(octave-2)&3
}

// firstOf is the lowest level of group g.
func firstOf(g int) int {
	if g < ownLevels {
		return g
	}
	octave, quarter := 5+(g-ownLevels)/4, (g-ownLevels)%4
	return (4 + quarter) << (octave - 2)
}

// level is one unit of occupancy.
type level struct {
	since   time.Duration // when it last fell idle
	taken   time.Duration // when it was last taken
	cascade Cascade
	known   bool // since is true: the level was seen to fall idle
	open    bool // since it was taken, the level above was not needed
}

// Levels follows one function's virtual occupancy and keeps laws per level. Use New. Not safe for concurrent use.
//
// Levels are stacked: the highest busy one falls idle first, so that an idle level has been idle for longer than
// those below it.
type Levels struct {
	opts   Options
	now    time.Duration // of the last event
	price  Price         // of the last Wanted
	busy   int           // occupancy
	levels []level       // all that were ever needed
	groups []group
	none   keepAlive
}

// New returns the levels of a function that nothing is known of.
func New(o Options) (*Levels, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	return &Levels{opts: o}, nil
}

// Busy is the occupancy.
func (f *Levels) Busy() int { return f.busy }

// clamp keeps time from going back: events of concurrent callers may come slightly out of order.
func (f *Levels) clamp(at time.Duration) time.Duration {
	f.now = max(f.now, at)
	return f.now
}

// Arrive tells that a call came: occupancy n becomes n+1, level n is needed.
func (f *Levels) Arrive(at time.Duration) {
	at = f.clamp(at)
	k := f.busy
	f.busy++
	if k == len(f.levels) {
		f.grow(k + 1)
	}
	v := &f.levels[k]
	if v.known {
		gap := at - v.since
		f.groups[groupOf(k)].observe(gap, f.opts)
		v.cascade.Need(at, gap, f.price.Start)
	}
	f.ascend(k, at)
}

// ascend keeps the up clocks: taking level k ends the one that the level below set off, and sets off the next.
func (f *Levels) ascend(k int, at time.Duration) {
	if k > 0 && f.levels[k-1].open {
		f.levels[k-1].open = false
		f.groups[groupOf(k)].rise(at-f.levels[k-1].taken, f.price.Start, f.opts)
	}
	v := &f.levels[k]
	if above := groupOf(k + 1); v.open && above < len(f.groups) {
		if up := f.groups[above].up; up != nil {
			up.law.Outlive(at-v.taken, f.opts)
		}
	}
	v.taken, v.open = at, true
}

// Depart tells that a call ended: occupancy n becomes n-1, level n-1 falls idle. With nothing busy it is ignored.
func (f *Levels) Depart(at time.Duration) {
	at = f.clamp(at)
	if f.busy == 0 {
		return
	}
	f.busy--
	f.levels[f.busy].since, f.levels[f.busy].known = at, true
}

// Reset sets the occupancy to busy, for when events were lost. All gaps that run are forgotten; the laws stay.
// Idle levels count as idle since at.
func (f *Levels) Reset(at time.Duration, busy int) {
	at = f.clamp(at)
	f.busy = max(busy, 0)
	f.grow(f.busy)
	for i := range f.levels {
		v := &f.levels[i]
		*v = level{since: at, taken: at, cascade: v.cascade}
		v.cascade.n = 0
	}
}

// grow makes room for n levels.
func (f *Levels) grow(n int) {
	if n <= len(f.levels) {
		return
	}
	f.levels = append(f.levels, make([]level, n-len(f.levels))...)
	if g := groupOf(n-1) + 1; g > len(f.groups) {
		f.groups = append(f.groups, make([]group, g-len(f.groups))...)
	}
}

// Law returns what is known of level k's idle gaps; nil if it has had less than two. Read only.
func (f *Levels) Law(k int) *Law {
	if g := groupOf(max(k, 0)); g < len(f.groups) && f.groups[g].idle != nil {
		return &f.groups[g].idle.law
	}
	return nil
}
