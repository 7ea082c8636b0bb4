package serve

import (
	"sync"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// Record is an order that was given, and when.
type Record struct {
	Seq   uint64 // grows by one, from 1
	At    time.Duration
	Order dispatcher.Order
}

// Records remembers the last orders with their reasons, and lets readers follow. Safe for concurrent use.
type Records struct {
	mu   sync.Mutex
	ring []Record
	last uint64
	more chan struct{} // closed and replaced when a record is added
}

func newRecords(n int) *Records {
	return &Records{ring: make([]Record, n), more: make(chan struct{})}
}

func (r *Records) add(at time.Duration, o *dispatcher.Order) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.ring[r.last%uint64(len(r.ring))] = Record{r.last, at, *o}
	close(r.more)
	r.more = make(chan struct{})
}

// Since lists the remembered records after seq, oldest first, and a channel that is closed when there are more.
func (r *Records) Since(seq uint64) ([]Record, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := max(seq+1, 1)
	if n := uint64(len(r.ring)); r.last > n {
		first = max(first, r.last-n+1)
	}
	var rs []Record
	for i := first; i <= r.last; i++ {
		rs = append(rs, r.ring[i%uint64(len(r.ring))])
	}
	return rs, r.more
}

// Last is the number of the newest record; 0 when there is none.
func (r *Records) Last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
