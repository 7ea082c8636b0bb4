package gap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrState means that saved bytes are not what this package wrote.
var ErrState = errors.New("gap: bad saved state")

const (
	lawVersion    = 1
	levelsVersion = 1

	binBytes    = 4 + 4 + 2 + 2 + 1
	savedLevels = 1 << 16 // levels above are not saved
	mostReached = 1e7     // no bin can remember more gaps than this
)

// AppendBinary appends the law to b: a version byte, how many bins were ever reached, and those bins. At most 401
// bytes. The error is always nil.
func (l *Law) AppendBinary(b []byte) ([]byte, error) {
	used := bins
	for used > 0 && l.reached[used-1] == 0 && l.hits[used-1] == 0 {
		used--
	}
	b = append(b, lawVersion, byte(used))
	b = binary.AppendUvarint(b, uint64(l.seen))
	b = appendFloat(b, l.logGap)
	for i := range used {
		b = appendFloat(b, l.reached[i])
		b = appendFloat(b, l.ended[i])
		b = binary.LittleEndian.AppendUint16(b, l.mean[i])
		b = binary.LittleEndian.AppendUint16(b, l.sd[i])
		b = append(b, l.hits[i])
	}
	return b, nil
}

// MarshalBinary returns what AppendBinary appends.
func (l *Law) MarshalBinary() ([]byte, error) { return l.AppendBinary(nil) }

// UnmarshalBinary replaces the law by a saved one, or leaves it alone and returns an error that wraps ErrState.
func (l *Law) UnmarshalBinary(data []byte) error {
	r := reader{rest: data}
	if v := r.byte(); v != lawVersion && !r.bad {
		return fmt.Errorf("%w: law of version %d", ErrState, v)
	}
	var n Law
	used := int(r.byte())
	if used > bins {
		return fmt.Errorf("%w: law of %d bins", ErrState, used)
	}
	n.seen = uint32(r.uvarint(math.MaxUint32))
	n.logGap = r.float(-100, 100)
	for i := 0; i < used && !r.bad; i++ {
		n.reached[i] = r.float(0, mostReached)
		n.ended[i] = r.float(0, float64(n.reached[i]))
		n.mean[i], n.sd[i], n.hits[i] = r.uint16(), r.uint16(), r.byte()
	}
	if r.bad || len(r.rest) > 0 {
		return fmt.Errorf("%w: law is cut short, too long or out of range", ErrState)
	}
	*l = n
	return nil
}

// What a saved group consists of.
const (
	hasFirst = 1 << iota // one gap was seen
	hasIdle              // the idle law
	hasUp                // the law of the times since the level below was taken
)

// MarshalBinary saves the laws: not what is busy, and not since when levels are idle. The error is always nil.
func (f *Levels) MarshalBinary() ([]byte, error) {
	levels := min(len(f.levels), savedLevels)
	b := binary.AppendUvarint([]byte{levelsVersion}, uint64(levels))
	if levels == 0 {
		return b, nil
	}
	for i := range f.groups[:groupOf(levels-1)+1] {
		g := &f.groups[i]
		b = append(b, g.flags())
		if g.once {
			b = binary.AppendUvarint(b, uint64(g.first))
		}
		for _, c := range []*clock{g.idle, g.up} {
			if c != nil {
				b, _ = c.law.AppendBinary(binary.AppendUvarint(b, uint64(c.law.size())))
			}
		}
		b = appendFloat(b, f.levels[firstOf(i)].cascade.more)
	}
	return b, nil
}

// size is the number of bytes that AppendBinary appends.
func (l *Law) size() int {
	b, _ := l.MarshalBinary()
	return len(b)
}

func (g *group) flags() (b byte) {
	if g.once {
		b |= hasFirst
	}
	if g.idle != nil {
		b |= hasIdle
	}
	if g.up != nil {
		b |= hasUp
	}
	return b
}

// Restore replaces all that f knows by what MarshalBinary saved away ago. Laws lose weight by the time away (see
// Options.HalfLife); all levels count as idle since now, and the gaps that end next are not learned from, as they
// began before. On an error, which wraps ErrState, f is left alone.
func (f *Levels) Restore(data []byte, now, away time.Duration) error {
	r := reader{rest: data}
	if v := r.byte(); v != levelsVersion && !r.bad {
		return fmt.Errorf("%w: levels of version %d", ErrState, v)
	}
	n := Levels{opts: f.opts, price: f.price}
	n.grow(int(r.uvarint(savedLevels)))
	fade := math.Exp2(-max(away, 0).Seconds() / f.opts.halfLife().Seconds())
	for i := range n.groups {
		if err := n.groups[i].restore(&r, fade); err != nil {
			return fmt.Errorf("laws %d: %w", i, err)
		}
		n.levels[firstOf(i)].cascade.more = r.float(0, math.MaxInt32)
		if r.bad {
			break
		}
	}
	if r.bad || len(r.rest) > 0 {
		return fmt.Errorf("%w: levels are cut short, too long or out of range", ErrState)
	}
	n.Reset(now, 0)
	*f = n
	return nil
}

func (g *group) restore(r *reader, fade float64) error {
	flags := r.byte()
	switch flags {
	case 0, hasIdle, hasIdle | hasUp:
	case hasFirst:
		g.first, g.once = time.Duration(r.uvarint(math.MaxInt64)), true
	default:
		return fmt.Errorf("%w: flags %#x", ErrState, flags)
	}
	for _, c := range []struct {
		bit byte
		to  **clock
	}{{hasIdle, &g.idle}, {hasUp, &g.up}} {
		if flags&c.bit == 0 || r.bad {
			continue
		}
		*c.to = new(clock)
		if err := (*c.to).law.UnmarshalBinary(r.bytes(int(r.uvarint(math.MaxUint16)))); err != nil {
			return err
		}
		(*c.to).law.Fade(fade)
	}
	return nil
}

func appendFloat(b []byte, x float32) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
}

// reader takes values off the front of rest. After the first that is missing or out of range it is bad, and returns
// zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) float(low, high float64) float32 {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	x := math.Float32frombits(binary.LittleEndian.Uint32(b))
	if !(float64(x) >= low && float64(x) <= high) {
		r.bad = true
		return 0
	}
	return x
}

func (r *reader) uvarint(most uint64) uint64 {
	x, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 || x > most {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return x
}
