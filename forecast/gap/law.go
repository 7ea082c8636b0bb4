package gap

import (
	"math"
	"time"
)

// Law is what is known of one level's idle gaps. The zero value knows nothing and is ready to use. It takes 400
// bytes and holds no pointer.
//
// Per bin it keeps how many gaps reached the bin and how many ended in it, both forgotten by rho whenever a gap
// reaches the bin. Their ratio is the hazard of discrete-time survival (Kaplan and Meier, "Nonparametric
// estimation from incomplete observations", JASA 1958). A bin that gaps seldom reach is therefore forgotten as
// seldom: a nightly job stays known through a busy day.
type Law struct {
	reached [bins]float32 // N: gaps that reached the bin
	ended   [bins]float32 // C: gaps that ended in it
	// Where in the bin the gaps ended, for atoms: mean and standard deviation in steps of width/65535, and how
	// many there were (at most 255, not forgotten).
	mean [bins]uint16
	sd   [bins]uint16
	hits [bins]uint8
	seen uint32 // gaps in all

	logGap float32 // EWMA(0.3) of ln(gap in seconds)
}

// Observe adds an idle gap that ended with a need.
func (l *Law) Observe(gap time.Duration, o Options) {
	gap = max(gap, 0)
	j := binOf(gap)
	l.reach(min(j, bins-1), o.rho())
	if j < bins {
		l.ended[j]++
		l.hit(j, gap)
	}
	l.note(gap)
}

// Outlive adds a gap that was cut off, by something else than a need, after it had lasted for gap: only the bins
// that it outlived are the wiser.
func (l *Law) Outlive(gap time.Duration, o Options) {
	l.reach(binOf(max(gap, 0))-1, o.rho())
	l.seen++
}

// reach counts one more gap in the bins up to and including j.
func (l *Law) reach(j int, rho float32) {
	for i := 0; i <= j; i++ {
		l.reached[i] = rho*l.reached[i] + 1
		l.ended[i] *= rho
	}
}

func (l *Law) note(gap time.Duration) {
	x := float32(math.Log(max(gap.Seconds(), priorFloor)))
	if l.seen == 0 {
		l.logGap = x
	}
	l.logGap += 0.3 * (x - l.logGap)
	l.seen++
}

// Gaps is how many gaps were observed or outlived.
func (l *Law) Gaps() int { return int(l.seen) }

// Typical is a recent geometric mean of the observed gaps; 0 before the first. For people, and for the choice of a
// pooled prior.
func (l *Law) Typical() time.Duration {
	if l.seen == 0 {
		return 0
	}
	return seconds(math.Exp(float64(l.logGap)))
}

// Fade multiplies the weight of all that was observed by f, in [0,1], as if it were that much less.
func (l *Law) Fade(f float64) {
	for i := range bins {
		l.reached[i] *= float32(f)
		l.ended[i] *= float32(f)
	}
}
