package dispatcher

import (
	"math/bits"
	"time"
)

const (
	histBins  = 104 // four to an octave, from 64 us up to more than an hour
	histShift = 6   // the first octave begins at 2^histShift us
	histFull  = 2048
)

// hist is a small histogram of durations in log-spaced bins: four to an octave, so that a quantile is within
// about 9 % of the truth. It forgets by halving all counts when it is full.
type hist struct {
	n    uint32
	bins [histBins]uint16
}

func histBin(d time.Duration) int {
	us := uint64(max(d, 0)) / 1000
	if us < 1<<histShift {
		return 0
	}
	octave := bits.Len64(us) - 1
	quarter := int(us>>(octave-2)) & 3
	return min((octave-histShift)*4+quarter, histBins-1)
}

// histEdge is the lower edge of bin i.
func histEdge(i int) time.Duration {
	octave, quarter := i/4, i%4
	return time.Duration((4+quarter)<<octave) * (1 << (histShift - 2)) * time.Microsecond
}

func (h *hist) add(d time.Duration) {
	if h.n >= histFull {
		h.halve()
	}
	h.bins[histBin(d)]++
	h.n++
}

func (h *hist) halve() {
	h.n = 0
	for i := range h.bins {
		h.bins[i] /= 2
		h.n += uint32(h.bins[i])
	}
}

// quantile is the duration that a share p of what was seen stays below, interpolated inside a bin; 0 when
// nothing was seen.
func (h *hist) quantile(p float64) time.Duration {
	if h == nil || h.n == 0 {
		return 0
	}
	left := p * float64(h.n)
	for i, c := range h.bins {
		if left <= float64(c) && c > 0 {
			lo, hi := histEdge(i), histEdge(i+1)
			if i == 0 {
				lo = 0
			}
			return lo + time.Duration(float64(hi-lo)*left/float64(c))
		}
		left -= float64(c)
	}
	return histEdge(histBins)
}
