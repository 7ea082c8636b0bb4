package edge

import (
	"container/list"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// RepeatOptions tunes NewRepeats. The zero value is ready to use.
type RepeatOptions struct {
	Window time.Duration // in which a line is written once. Default 10 s
	Keys   []string      // attributes whose values tell lines of the same message apart: "function", "node". Default: none
	Most   int           // lines that are remembered. Default 1,024
}

// NewRepeats wraps a log handler so that a line that repeats, in its level, message and keys, is written once in each
// window; the next one written says how many were not, as "suppressed". Lines below Info pass: who switched them on
// wants them all. Time is that of the records.
func NewRepeats(next slog.Handler, o RepeatOptions) slog.Handler {
	if o.Window <= 0 {
		o.Window = 10 * time.Second
	}
	if o.Most <= 0 {
		o.Most = 1024
	}
	return &repeats{next: next, memory: &memory{opts: o, lines: map[string]*list.Element{}, order: list.New()}}
}

type repeats struct {
	next   slog.Handler
	memory *memory // shared by all that were made by WithAttrs and WithGroup
	bound  string  // keys among the attributes that were bound
}

func (h *repeats) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *repeats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &repeats{h.next.WithAttrs(attrs), h.memory, h.bound + h.memory.keys(attrs)}
}

func (h *repeats) WithGroup(name string) slog.Handler {
	return &repeats{h.next.WithGroup(name), h.memory, h.bound}
}

func (h *repeats) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo || r.Time.IsZero() {
		return h.next.Handle(ctx, r)
	}
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a); return true })
	pass, suppressed, others := h.memory.note(r.Level.String()+"\x00"+EscapeTo(r.Message, maxText)+"\x00"+h.bound+h.memory.keys(attrs), r.Time)
	if !pass {
		return nil
	}
	if suppressed > 0 || others > 0 {
		r = r.Clone()
	}
	if suppressed > 0 {
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	if others > 0 {
		r.AddAttrs(slog.Int("suppressed_others", others))
	}
	return h.next.Handle(ctx, r)
}

// memory is the lines that were written lately, the one written longest ago first.
type memory struct {
	opts RepeatOptions

	mu     sync.Mutex
	lines  map[string]*list.Element // guarded by mu; values are *line
	order  *list.List               // guarded by mu
	others int                      // guarded by mu; suppressed repeats of lines that were since forgotten
}

type line struct {
	key        string
	at         time.Time // when it was last written
	suppressed int       // since then
}

func (m *memory) keys(attrs []slog.Attr) string {
	if len(m.opts.Keys) == 0 {
		return ""
	}
	var b strings.Builder
	for _, a := range attrs {
		if slices.Contains(m.opts.Keys, a.Key) {
			b.WriteString(a.Key + "=" + EscapeTo(a.Value.Resolve().String(), MaxName) + "\x00") // bounded, as memory is
		}
	}
	return b.String()
}

// note decides about a line. A clock that was set back does not silence it.
func (m *memory) note(key string, now time.Time) (pass bool, suppressed, others int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.lines[key]; e != nil {
		l := e.Value.(*line)
		if age := now.Sub(l.at); age >= 0 && age < m.opts.Window {
			l.suppressed++
			return false, 0, 0
		}
		suppressed, l.suppressed, l.at = l.suppressed, 0, now
		m.order.MoveToBack(e)
	} else {
		m.lines[key] = m.order.PushBack(&line{key: key, at: now})
		m.forgetLocked()
	}
	others, m.others = m.others, 0
	return true, suppressed, others
}

func (m *memory) forgetLocked() {
	for len(m.lines) > m.opts.Most {
		l := m.order.Remove(m.order.Front()).(*line)
		delete(m.lines, l.key)
		m.others += l.suppressed
	}
}
