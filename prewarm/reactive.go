package prewarm

import (
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast/gap"
)

// reactive holds every level for kappa plus a start after its last use: the best keep-alive without learning. Every
// function has one, as the yardstick of its account.
type reactive struct {
	busy  int
	since []time.Duration // when each level that is held fell idle; of busy ones, when it last did
}

func (r *reactive) arrive() {
	if r.busy++; r.busy > len(r.since) {
		r.since = append(r.since, 0)
	}
}

func (r *reactive) depart(at time.Duration) {
	if r.busy > 0 {
		r.busy--
		r.since[r.busy] = at
	}
}

// resync sets the occupancy; levels that it leaves count as idle from now.
func (r *reactive) resync(now time.Duration, busy int) {
	for r.busy < busy {
		r.arrive()
	}
	for r.busy > busy {
		r.depart(now)
	}
}

// pass drops what has been idle for too long by now, each at its time, and writes that into b.
func (r *reactive) pass(now time.Duration, p *price, b *book) {
	for n := len(r.since); n > r.busy; n-- { // higher levels have been idle for longer
		end := r.since[n-1] + p.Kappa + p.Start
		if end > now {
			return
		}
		r.since = r.since[:n-1]
		b.want(max(end, b.at), r.busy, n-1, p)
	}
}

// want says what is held now that pass has been called.
func (r *reactive) want(now time.Duration, p *price) verdict {
	keep := p.Kappa + p.Start
	v := verdict{busy: r.busy, idle: len(r.since) - r.busy, next: gap.Never, worth: p.Kappa.Seconds(),
		why: dispatcher.Reason{Model: dispatcher.ModelReactive, Horizon: keep}}
	if v.idle > 0 {
		v.next = r.since[len(r.since)-1] + keep
		v.why.Level, v.why.Idle = int32(r.busy), now-r.since[r.busy]
	}
	return v
}
