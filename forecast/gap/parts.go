package gap

import "time"

// maxParts bounds the parts that a law is cut into: every bin, the two edges of its atom, the price of a miss, and
// the moment from which holding is possible.
const maxParts = 3*bins + 2

// parts cuts the law into parts, appended to ps. Behind the last hit and the price of a miss nothing is ever held,
// as the hazard is at most the prior's: those bins are left out.
func (l *Law) parts(ps []part, miss time.Duration, k clockKind, o Options) []part {
	var atoms [bins]atom
	var weights [bins]float64
	top := 0
	if k.prior {
		top = min(binOf(miss), bins-1)
	}
	for i := range bins {
		if l.ended[i] > 0 {
			atoms[i] = l.atom(i)
			top = max(top, i)
			if i+1 < bins && atoms[i].hi > edges[i+1].Seconds() {
				top = i + 1
			}
		}
	}
	l.priorWeights(&atoms, o.priorWeight(), &weights)
	for i := 0; i <= top; i++ {
		b := l.bin(i, &atoms)
		b.weight, b.prior = weights[i], k.prior
		if b.ends[1].n > 0 { // some of the gaps that reach it are as regular as those of the bin below
			b.weight = min(b.weight, weights[i-1])
		}
		ps = b.cut(ps, miss, k.cover)
	}
	return ps
}

// bin is one bin of a law, with what the prior adds and with what its neighbours' atoms reach over.
type bin struct {
	from, to time.Duration
	reached  float64  // gaps that reach it
	ends     [3]spell // where they end in it: its own, and those of the atoms below and above
	weight   float64  // of the prior, gaps
	prior    bool     // whether the prior expects needs at all
}

// spell is a number of gaps that end uniformly between lo and hi, seconds.
type spell struct{ lo, hi, n float64 }

// clip is the part of s between lo and hi.
func (s spell) clip(lo, hi float64) spell {
	c := spell{lo: max(s.lo, lo), hi: min(s.hi, hi)}
	if c.lo < c.hi {
		c.n = s.n * (c.hi - c.lo) / (s.hi - s.lo)
	}
	return c
}

// spell is where the gaps end that are counted in bin i.
func (l *Law) spell(i int, a *atom) spell {
	if a.gain > 0 {
		return spell{a.lo, a.hi, float64(l.ended[i])}
	}
	return spell{edges[i].Seconds(), edges[i+1].Seconds(), float64(l.ended[i])}
}

// bin gathers bin i. A window that reaches over an edge takes its share of the gaps there: else a timer whose
// period lies near an edge would be given up at the edge.
func (l *Law) bin(i int, atoms *[bins]atom) bin {
	b := bin{from: edges[i], to: edges[i+1], reached: float64(l.reached[i])}
	lo, hi := b.from.Seconds(), b.to.Seconds()
	own := l.spell(i, &atoms[i])
	b.ends[0] = own.clip(lo, hi)
	if own.lo < lo {
		b.reached -= own.clip(own.lo, lo).n
	}
	if i > 0 && atoms[i-1].hi > lo {
		b.ends[1] = l.spell(i-1, &atoms[i-1]).clip(lo, hi)
		b.reached += b.ends[1].n
	}
	if i+1 < bins && atoms[i+1].gain > 0 && atoms[i+1].lo < hi {
		// The bins forget at their own pace: what is a share of the gaps there is the same share of them here.
		b.ends[2] = l.spell(i+1, &atoms[i+1]).clip(lo, hi)
		b.ends[2].n *= max(float64(l.reached[i]-l.ended[i]), 0) / float64(l.reached[i+1])
	}
	return b
}

// cut appends the bin's parts: it is cut where a spell begins or ends, at the price of a miss (where the prior's
// verdict turns) and at cover.
func (b *bin) cut(ps []part, miss, cover time.Duration) []part {
	var room [10]time.Duration
	cuts := insert(insert(room[:0], b.to), miss)
	cuts = insert(cuts, cover)
	for _, s := range b.ends {
		if s.n > 0 {
			cuts = insert(insert(cuts, seconds(s.lo)), seconds(s.hi))
		}
	}
	from, left := b.from, b.left(b.from)
	for _, to := range cuts {
		if to <= from || to > b.to {
			continue
		}
		p := part{from: from, to: to}
		after := b.left(to)
		if left > 0 {
			p.q = min(max(1-after/left, 0), 1)
		}
		ps = append(ps, p)
		from, left = to, after
	}
	return ps
}

// insert keeps a short sorted list.
func insert(ts []time.Duration, t time.Duration) []time.Duration {
	ts = append(ts, t)
	for i := len(ts) - 1; i > 0 && ts[i-1] > ts[i]; i-- {
		ts[i-1], ts[i] = ts[i], ts[i-1]
	}
	return ts
}

// left is how many gaps, the prior's among them, of those that reached the bin last beyond x.
func (b *bin) left(x time.Duration) float64 {
	at := x.Seconds()
	n := b.reached
	for _, s := range b.ends {
		if s.n > 0 {
			n -= s.n * min(max((at-s.lo)/(s.hi-s.lo), 0), 1)
		}
	}
	prior := b.weight
	if b.prior {
		prior *= priorSurvival(at) / priorSurvival(b.from.Seconds())
	}
	return max(n, 0) + prior
}
