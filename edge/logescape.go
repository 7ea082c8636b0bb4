package edge

import (
	"context"
	"fmt"
	"log/slog"
)

// maxText bounds one string in a log, in bytes. A function's last words fit, its whole output does not.
const maxText = 2048

// NewEscaping wraps a log handler so that whatever was logged prints: messages, names and values of attributes,
// errors, and what else is made of strings. No caller can write a second line, or paint on a terminal.
func NewEscaping(next slog.Handler) slog.Handler { return escaping{next} }

type escaping struct{ next slog.Handler }

func (e escaping) Enabled(ctx context.Context, l slog.Level) bool { return e.next.Enabled(ctx, l) }

func (e escaping) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, EscapeTo(r.Message, maxText), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(escapeAttr(a))
		return true
	})
	return e.next.Handle(ctx, out)
}

func (e escaping) WithAttrs(attrs []slog.Attr) slog.Handler {
	return escaping{e.next.WithAttrs(escapeAttrs(attrs))}
}

func (e escaping) WithGroup(name string) slog.Handler {
	return escaping{e.next.WithGroup(Escape(name))}
}

func escapeAttrs(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = escapeAttr(a)
	}
	return out
}

func escapeAttr(a slog.Attr) slog.Attr {
	a.Key = Escape(a.Key)
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(EscapeTo(a.Value.String(), maxText))
	case slog.KindGroup:
		a.Value = slog.GroupValue(escapeAttrs(a.Value.Group())...)
	case slog.KindAny:
		a.Value = escapeAny(a.Value.Any())
	}
	return a
}

// escapeAny keeps a value that prints as it is, so that JSON shows its structure, and makes text of any other.
func escapeAny(v any) slog.Value {
	text := fmt.Sprintf("%+v", v) // survives methods that panic
	plain := EscapeTo(text, maxText)
	if _, isError := v.(error); isError || plain != text {
		return slog.StringValue(plain)
	}
	return slog.AnyValue(v)
}
