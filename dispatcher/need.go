package dispatcher

import (
	"math"
	"time"
)

// lineNeed is how many more requests at once would have to be admitted, by containers started now, for the line to
// be gone one start after they are ready. What a starting or a busy container will have served by then does not
// count, and one place serves as many calls in a row as their service time allows: five calls of a millisecond
// need one place, not five.
func (f *function) lineNeed() int {
	if f.line.n == 0 {
		return 0
	}
	pace := f.pace()
	left := float64(f.line.n) - float64(f.startingRoom())*pace - f.backSoon()
	if left <= 0 {
		return 0
	}
	return int(math.Ceil(left / pace))
}

// pace is how many calls one place serves in a row in the time of a start, at least 1.
func (f *function) pace() float64 {
	if f.service == nil {
		return 1
	}
	return math.Max(1, f.startMedian().Seconds()/f.serviceTime().Seconds())
}

// serviceTime is what a call usually takes; f.service is not nil.
func (f *function) serviceTime() time.Duration { return max(f.service.quantile(.5), time.Microsecond) }

// backSoon is how many requests busy containers will have taken from the line by the time that a start takes:
// each finishes one per service time. It is 0 when none has done so for as long as a start takes.
func (f *function) backSoon() float64 {
	lead := f.startMedian()
	if f.leases.n == 0 || f.service == nil || f.now-max(f.line.head.arrived, f.lastServed) > lead {
		return 0
	}
	return float64(f.leases.n) * math.Min(lead.Seconds()/f.serviceTime().Seconds(), float64(f.line.n))
}

func (f *function) startingRoom() int {
	room := 0
	for c := f.starting.head; c != nil; c = c.next {
		if !c.retiring {
			room += f.share.admits(c.units)
		}
	}
	return room
}

// lineBooking is what a start of so many units for the line may claim. Memory that is free anyway is had for the
// asking. It is a need, for which others give way, when there is no container yet, when the present ones would not
// drain the line within the patience or are busy nearly all the time, or when the oldest call has waited too long.
func (f *function) lineBooking(units int32, need int) booking {
	b := booking{class: comfort, memory: f.memoryOf(units), since: f.line.head.arrived}
	places := f.covered + f.startingRoom()
	waited := f.now - b.since
	if f.starting.n > 0 {
		waited = 0 // the first that is ready serves it
	}
	b.bare = places == 0
	switch {
	case f.service == nil && f.share.limit > 0: // a call may take for ever: each needs a place
		b.class, b.urgent = needed, true
	case waited > (f.core.opts.Patience+f.core.opts.MaxWait)/2:
		b.class, b.urgent = needed, true
	case b.bare, waited > f.core.opts.Patience:
		b.class = needed
	case f.service == nil: // the first few are under way
	case f.drainTime(places) > f.core.opts.Patience, float64(places) < f.load.mean*loadRoom:
		b.class = needed
	}
	if b.class == needed {
		b.total = f.totalNeed(places, need, units)
	}
	return b
}

// expectLate notes that a call that has just joined the line will wait longer than the patience, as far as one can
// say: while the function is being measured, places are few for want of knowledge, not of memory.
func (f *function) expectLate(k *call) {
	if f.service == nil || !f.share.measuredWell() {
		return
	}
	if places := f.covered + f.startingRoom(); places == 0 || f.drainTime(places) > f.core.opts.Patience {
		f.noteLate(k)
	}
}

// noteLate counts a call that waits, or waited, too long, once.
func (f *function) noteLate(k *call) {
	if !k.late {
		k.late = true
		f.core.ledger.tooLate(k.arrived, f.cfg.Memory)
	}
}

// drainTime is how long so many places take for the line.
func (f *function) drainTime(places int) time.Duration {
	return time.Duration(float64(f.serviceTime()) * float64(f.line.n) / float64(places))
}

// totalNeed is the memory that lets the line drain within the patience, in containers of so many units; at least
// that of one. Calls that take longer than the patience need a place each, and not more.
func (f *function) totalNeed(places, need int, units int32) int64 {
	if f.service != nil {
		burst := int(math.Ceil(float64(f.drainTime(1))/float64(f.core.opts.Patience))) - places
		need = max(min(burst, f.line.n), int(math.Ceil(f.load.mean*loadRoom))-places)
	} else if !f.share.known() {
		need = 1
	}
	per := f.share.admits(units)
	return f.memoryOf(units) * int64(max((need+per-1)/per, 1))
}

// deserves is the memory for which a node is worth its price: as much as lets the wanted and the busy levels be
// served within the patience, were they all to come at once, and bears the mean load.
func (f *function) deserves() int64 {
	f.followLoad()
	busy := max(f.want, f.leases.n+f.line.n)
	if busy == 0 {
		return 0
	}
	places := float64(busy)
	if f.service != nil {
		places = math.Min(places, math.Max(1, places*f.serviceTime().Seconds()/f.core.opts.Patience.Seconds()))
	}
	places = math.Max(places, f.load.mean*loadRoom)
	return int64(math.Ceil(places/f.share.perUnit())) * f.cfg.Memory
}

// owed is what the function deserves, and no less than its floor: that is a promise.
func (f *function) owed() int64 {
	owed := f.deserves()
	if f.whyFor.Cause == CauseMinimum {
		owed = max(owed, int64(math.Ceil(float64(f.want)/f.share.perUnit()))*f.cfg.Memory)
	}
	return owed
}

const (
	// loadRoom keeps the places that a function deserves four fifths busy at its mean load: at that, a line of calls that
	// come at random is as long as there are places (M/M/c), and a fuller one is soon beyond all patience.
	loadRoom = 1.25
	// loadSpan is the time constant of the mean load: longer than bursts are apart, shorter than a day's slopes.
	loadSpan = 60 * time.Second
)

// load is the mean number of leases, with forgetting.
type load struct {
	mean  float64
	seen  float64       // share of the weights that has been seen, 1 in the long run
	sum   time.Duration // request-time since the last look
	since time.Duration
}

// followLoad brings the mean load up to now.
func (f *function) followLoad() {
	dt := f.now - f.load.since
	if dt < loadSpan/100 {
		return
	}
	if f.load.since == 0 {
		f.load.since = f.now
		return
	}
	w := -math.Expm1(-dt.Seconds() / loadSpan.Seconds())
	f.load.seen += (1 - f.load.seen) * w
	f.load.mean += (f.load.sum.Seconds()/dt.Seconds() - f.load.mean) * w / f.load.seen
	f.load.sum, f.load.since = 0, f.now
}
