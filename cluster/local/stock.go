package local

import "time"

// stock counts the nodes that may be handed out. It is pure: now is handed in,
// and never goes back.
//
// It follows the contract: a reservation makes the provider add one further
// node within refill until it owns cap of them; a released node becomes usable
// again after refill.
type stock struct {
	free   int           // may be reserved now
	owned  int           // all there are: free, reserved, and on their way
	cap    int           // owned never passes it
	refill time.Duration // how long a node is on its way
	due    []time.Time   // when those on their way arrive, in order
}

func newStock(available, limit int, refill time.Duration) *stock {
	return &stock{free: available, owned: available, cap: limit, refill: refill}
}

// take reserves a node; false when none is free.
func (s *stock) take(now time.Time) bool {
	s.settle(now)
	if s.free == 0 {
		return false
	}
	s.free--
	if s.owned < s.cap {
		s.owned++
		s.due = append(s.due, now.Add(s.refill))
	}
	return true
}

// giveBack returns a node that was in use.
func (s *stock) giveBack(now time.Time) {
	s.settle(now)
	s.due = append(s.due, now.Add(s.refill))
}

// undo returns a node that never came to be.
func (s *stock) undo(now time.Time) {
	s.settle(now)
	s.free++
}

func (s *stock) settle(now time.Time) {
	n := 0
	for n < len(s.due) && !s.due[n].After(now) {
		n++
	}
	s.free += n
	s.due = s.due[n:]
}
