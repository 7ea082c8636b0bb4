package dispatcher

import (
	"math"
	"math/bits"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

const (
	maxSharing   = 64 // requests in one container at most, so that a word of bits names the crowding
	unknownUnits = 1  // size of the first containers of a function of which nothing is known
	unknownStart = 2  // containers that serve such a function's first burst, at most
	fitMin       = 2  // readings before measured memory decides
	trialMin     = 8  // returns at a crowding before the next one is tried
	cpuWeightMin = .5 // request-seconds of processor readings before they decide
)

// sharing learns how many requests one container of a function may hold at once.
//
// A container is sized in units: one unit is the memory that the function asks for, and with it comes its share
// of a processor. As many requests as units are safe without any learning. More are admitted when measured
// memory leaves room and when the function waits more than it computes; out of memory halves the number.
type sharing struct {
	limit   int // from the configuration: 1 or more is a fixed number in a container of one unit, 0 is learnt
	returns uint32

	mem    memoryFit
	cap    int // after out of memory; 0: none
	okRuns int // returns since then

	cpu, cpuWeight float64 // request-seconds that computed, and that were read
	slow           [8]crowding
	ratio          float64 // requests per unit that the processor bears, by trial
	frozen         int     // returns until the next trial

	table [7]uint8 // what admits answers, by log2 of the units; renewed by refresh
}

// crowding is what calls took while so many shared a unit: bucket b holds 2^(b-1) < requests per unit <= 2^b.
type crowding struct {
	n    int
	mean float64 // seconds
}

// memoryFit fits a container's memory as base + n * each over the number n sharing it, with forgetting.
type memoryFit struct {
	n                   int
	w, x, y, xx, xy, yy float64
}

func (m *memoryFit) add(sharing int, bytes int64) {
	const forget = .99
	x, y := float64(sharing), float64(bytes)
	m.n++
	m.w = forget*m.w + 1
	m.x = forget*m.x + x
	m.y = forget*m.y + y
	m.xx = forget*m.xx + x*x
	m.xy = forget*m.xy + x*y
	m.yy = forget*m.yy + y*y
}

// line is the fit's base, what each request adds, and the residual's standard deviation, in bytes. With one
// crowding seen only, all of the memory is taken to grow with the requests: the careful reading.
func (m *memoryFit) line() (base, each, sd float64) {
	vx := m.xx - m.x*m.x/m.w
	vy := math.Max(0, m.yy-m.y*m.y/m.w)
	if vx < .05*m.w {
		return 0, m.y / m.x, math.Sqrt(vy / m.w)
	}
	cxy := m.xy - m.x*m.y/m.w
	each = math.Max(cxy/vx, 0)
	base = (m.y - each*m.x) / m.w
	if base < 0 {
		base, each = 0, m.y/m.x
	}
	return base, each, math.Sqrt(math.Max(0, vy-each*cxy) / m.w)
}

// fits is how many requests stay within limit bytes with two standard deviations and a tenth to spare.
func (m *memoryFit) fits(limit int64) int {
	base, each, sd := m.line()
	room := .9*float64(limit) - base - 2*sd
	if room <= 0 {
		return 0
	}
	return int(math.Min(room/math.Max(each, 1), maxSharing))
}

// measuredWell says whether enough is known to start containers by the number of calls that wait.
func (s *sharing) measuredWell() bool {
	return s.limit > 0 || s.mem.n >= fitMin && s.cpuWeight >= cpuWeightMin || s.returns >= 2*trialMin
}

// known says whether a first call has come back, so that sizes can follow measurements.
func (s *sharing) known() bool { return s.limit > 0 || s.returns > 0 }

// computes says whether requests are better spread than packed.
func (s *sharing) computes() bool { return s.limit == 0 && s.perCPU() < 2 }

// perCPU is how many requests a unit's share of a processor bears.
func (s *sharing) perCPU() float64 {
	r := math.Max(s.ratio, 1)
	if s.cpuWeight < cpuWeightMin {
		return r
	}
	measured := math.Max(1, .8*s.cpuWeight/math.Max(s.cpu, .8*s.cpuWeight/maxSharing))
	if s.frozen > 0 { // trials found less
		return math.Min(measured, r)
	}
	return measured
}

// admits is how many requests a container of so many units, a power of two, may hold at once, as of the last
// refresh.
func (s *sharing) admits(units int32) int { return int(s.table[bits.TrailingZeros32(uint32(units))]) }

// refresh brings admits up to date with what was learnt, and says whether anything changed.
func (s *sharing) refresh(unit int64) (changed bool) {
	for i := range s.table {
		n := uint8(s.measured(1<<i, unit))
		changed = changed || n != s.table[i]
		s.table[i] = n
	}
	return changed
}

// measured works admits out.
func (s *sharing) measured(units int32, unit int64) int {
	if s.limit > 0 {
		return min(s.limit, maxSharing)
	}
	n := int(units)
	if s.mem.n >= fitMin {
		byCPU := max(n, int(float64(units)*s.perCPU()))
		n = max(min(s.mem.fits(int64(units)*unit), byCPU), n)
	}
	if s.cap > 0 {
		n = min(n, s.cap)
	}
	return min(max(n, 1), maxSharing)
}

// perUnit is admits for a large container, per unit. Where the number is fixed there are only containers of one unit.
func (s *sharing) perUnit() float64 {
	if s.limit > 0 {
		return float64(s.admits(1))
	}
	return float64(s.admits(8)) / 8
}

// size is the number of units for a container that should hold need requests, at most maxUnits.
func (s *sharing) size(need int, maxUnits int32) int32 {
	switch {
	case s.limit > 0:
		return 1
	case !s.known():
		return min(unknownUnits, maxUnits)
	}
	units := int32(1)
	for units < maxUnits && s.admits(units) < need {
		units *= 2
	}
	return min(units, maxUnits)
}

// returned learns from a finished request: the most that shared its container while it ran, the container's
// units and highest memory, and the time it took.
func (s *sharing) returned(n, most int, units int32, maxMemory int64, took time.Duration) {
	s.returns++
	if s.limit > 0 {
		return
	}
	if maxMemory > 0 {
		s.mem.add(most, maxMemory)
	}
	if s.cap > 0 {
		if s.okRuns++; s.okRuns >= 100*s.cap { // bolder again, slowly
			s.cap, s.okRuns = min(s.cap+1, maxSharing), 0
		}
	}
	s.trial(n, units, took)
}

// trial compares what calls take at each crowding with what they take uncrowded, and lets the next crowding be
// tried while no harm shows.
func (s *sharing) trial(n int, units int32, took time.Duration) {
	if s.ratio == 0 {
		s.ratio = 1
	}
	if s.frozen > 0 {
		s.frozen--
	}
	b := crowdingBucket(n, units)
	c := &s.slow[b]
	c.n++
	c.mean += (took.Seconds() - c.mean) / float64(min(c.n, 50))
	if b == 0 {
		if s.ratio == 1 && c.n >= trialMin && s.frozen == 0 {
			s.ratio = 2
		}
		return
	}
	if c.n < trialMin || s.slow[0].n == 0 || float64(int(1)<<b) < s.ratio {
		return
	}
	if c.mean > 1.3*s.slow[0].mean+.002 {
		s.ratio = math.Max(1, float64(int(1)<<(b-1)))
		s.frozen = 500
		*c = crowding{}
	} else if s.frozen == 0 {
		s.ratio = math.Min(float64(int(2)<<b), maxSharing)
	}
}

// ripe says whether enough was returned since the last refresh to work it out again: at first each time, later
// now and then.
func (s *sharing) ripe() bool {
	return s.limit == 0 && (s.returns < 16 || s.returns%8 == 0)
}

func crowdingBucket(n int, units int32) int {
	perUnit := (n + int(units) - 1) / int(units)
	return min(bits.Len(uint(max(perUnit-1, 0))), 7)
}

// read learns from a node's reading of the processor: what the container used since the last, in processor
// seconds, and how long requests were in it, in request-seconds.
func (s *sharing) read(used, requestSeconds float64, unit int64) {
	if s.limit > 0 || requestSeconds <= 0 {
		return
	}
	share := cluster.CPUPerGiB * float64(unit) / float64(cluster.GiB)
	const forget = .98
	s.cpu = forget*s.cpu + used/share
	s.cpuWeight = forget*s.cpuWeight + requestSeconds
}

// outOfMemory halves what was admitted.
func (s *sharing) outOfMemory(sharing int) {
	if s.limit == 0 {
		s.cap, s.okRuns = max(1, sharing/2), 0
	}
}
