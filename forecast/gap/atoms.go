package gap

import (
	"math"
	"time"
)

const (
	halfWindow = 2.6 // an atom reaches so many standard deviations to each side: 99 % of a normal law
	maxWindow  = 0.7 // an atom wider than this share of its bin says no more than the bin does
	slowest    = 0.1 // least step of a bin's mean and deviation: they follow the last ten hits or so

	quanta = math.MaxUint16 // steps of mean and deviation across a bin
)

// hit moves mean and deviation of bin j towards a gap that ended there (West, "Updating mean and variance
// estimates", CACM 1979, with a step that stops shrinking).
func (l *Law) hit(j int, gap time.Duration) {
	l.hits[j] = min(l.hits[j], math.MaxUint8-1) + 1
	step := max(1/float64(l.hits[j]), slowest)
	x := quanta * float64(gap-edges[j]) / float64(edges[j+1]-edges[j])
	m, sd := float64(l.mean[j]), float64(l.sd[j])
	d := x - m
	l.mean[j] = uint16(math.Round(m + step*d))
	l.sd[j] = uint16(math.Round(math.Sqrt((1 - step) * (sd*sd + step*d*d))))
}

// spread is the deviation to reckon with, in seconds, when n hits had a population variance v (s^2). Few hits tell
// little of their spread, so theirs is stretched about as much as a Student law would do; and a few close together
// by luck, or by the resolution of a clock, must not give a window that the next one misses.
func spread(v float64, n int) float64 {
	return math.Sqrt(v)*(1+1.5/float64(n-1)) + 0.05 + 0.1/float64(n)
}

// atom is the window in which the gaps of a bin end. It may reach past the bin's edges. The zero value: they are
// spread over the whole bin.
type atom struct {
	lo, hi float64 // seconds of idle time
	// gain is ln(bin/window): how much better than the bin the window foretells a gap that keeps to it, in log
	// odds. Zero: no atom.
	gain float64
	// shared is set when the hits of the bin above are in the same window.
	shared bool
}

// atom finds the window of bin i from its own hits, or, when they straddle an edge, together with a neighbour's.
func (l *Law) atom(i int) atom {
	if l.hits[i] == 0 {
		return atom{}
	}
	n, m, v := l.inside(i)
	if a := window(i, n, m, v); a.gain > 0 {
		return a
	}
	if a := l.across(i); a.gain > 0 {
		a.shared = true
		return a
	}
	return l.across(i - 1)
}

// inside returns number, mean (s) and population variance (s^2) of the hits of bin i.
func (l *Law) inside(i int) (n int, mean, variance float64) {
	w := width(i)
	sd := w * float64(l.sd[i]) / quanta
	return int(l.hits[i]), edges[i].Seconds() + w*float64(l.mean[i])/quanta, sd * sd
}

// across is the window common to bins i and i+1.
func (l *Law) across(i int) atom {
	if i < 0 || i+1 >= bins || l.hits[i] == 0 || l.hits[i+1] == 0 {
		return atom{}
	}
	n1, m1, v1 := l.inside(i)
	n2, m2, v2 := l.inside(i + 1)
	share := float64(l.ended[i+1] / (l.ended[i] + l.ended[i+1]))
	if !(share >= 0) { // both have been forgotten
		return atom{}
	}
	d := m2 - m1
	return window(i, n1+n2, m1+share*d, (1-share)*v1+share*v2+share*(1-share)*d*d)
}

// window is the window around n hits of that mean and variance, if it is narrow against bin i.
func window(i, n int, mean, variance float64) atom {
	if n < 2 {
		return atom{}
	}
	half := halfWindow * spread(variance, n)
	if 2*half >= maxWindow*width(i) {
		return atom{}
	}
	return atom{lo: max(mean-half, 0), hi: mean + half, gain: math.Log(width(i) / (2 * half))}
}

const (
	lnMissOdds  = 2 * math.Ln2  // a gap that keeps to no atom makes regularity four times less likely
	maxEvidence = 12 * math.Ln2 // the prior keeps 1/4096 of its weight, to have a say where nothing else has one
)

// priorWeights fills w with the weight of the prior per bin, in gaps.
//
// A level is regular or it is not. When it is, the prior's short gaps are not to be expected, and holding for them
// after every beat of a timer costs a multiple of all the rest. So the prior's weight is divided by the odds that
// the gaps which go on past the bin's start are regular: a hit in an atom multiplies them by bin/window, except
// the atom's first, which was not foretold; a hit elsewhere divides them.
func (l *Law) priorWeights(atoms *[bins]atom, weight float64, w *[bins]float64) {
	evidence := 0.0
	for i := bins - 1; i >= 0; i-- {
		c := float64(l.ended[i])
		switch a := &atoms[i]; {
		case a.shared:
			evidence += c * a.gain
		case a.gain > 0:
			evidence += max(c-1, 0) * a.gain
		default:
			evidence -= c * lnMissOdds
		}
		w[i] = weight
		if evidence > 0 {
			w[i] *= math.Exp(-min(evidence, maxEvidence))
		}
	}
}
