package dispatcher

// slots hands out places in Options.Leases, in which the number of each container's leases is kept where a restart
// can find it. The ledger's mutex guards it; a place itself is written under its function's mutex.
type slots struct {
	counts []uint32
	free   []int        // given back
	next   int          // the first that was never used
	taken  map[int]bool // by adopted containers, beyond next
}

// noSlot is for containers that found no place: after a restart they count as full.
const noSlot = -1

func (s *slots) get() int {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	for s.next < len(s.counts) {
		i := s.next
		s.next++
		if !s.taken[i] {
			s.counts[i] = 0
			return i
		}
		delete(s.taken, i)
	}
	return noSlot
}

// adopt takes a certain place, or another one when it is no place or taken already.
func (s *slots) adopt(i int) int {
	if i < s.next || i >= len(s.counts) || s.taken[i] {
		return s.get()
	}
	if s.taken == nil {
		s.taken = map[int]bool{}
	}
	s.taken[i] = true
	return i
}

func (s *slots) put(i int) {
	if i != noSlot {
		s.counts[i] = 0
		s.free = append(s.free, i)
	}
}

// note keeps the number of a container's leases. Its function's mutex is held.
func (c *container) note() {
	if c.slot != noSlot {
		c.fn.core.slotCounts[c.slot] = uint32(c.leases)
	}
}
