package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/forewarm/forewarm/edge"
)

// logs are a role's: log has its level, which may change, and trace writes all that comes to the same place.
type logs struct {
	log, trace *slog.Logger
	level      *slog.LevelVar
}

// The attributes that tell lines of the same words apart: for those about a function its name, so that one line in ten
// seconds says of its containers that they start, wherever they do; "forewarm decisions" lists them all.
var (
	keysOfFunctions = []string{"function"}
	keysOfOthers    = []string{"node", "changes", "files"}
)

// newLogs writes to w what callers cannot forge lines in, and what repeats once in ten seconds.
func newLogs(w io.Writer, role, level, format string) (*logs, error) {
	l := &logs{level: new(slog.LevelVar)}
	if err := l.setLevel(level); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: slog.LevelDebug}
	var h slog.Handler
	switch format {
	case "text":
		h = slog.NewTextHandler(w, o)
	case "json":
		h = slog.NewJSONHandler(w, o)
	default:
		return nil, fmt.Errorf("--log-format %q: want text or json", format)
	}
	h = edge.NewEscaping(h)
	l.trace = slog.New(h).With("role", role)
	l.log = slog.New(leveled{sorted{
		functions: edge.NewRepeats(h, edge.RepeatOptions{Keys: keysOfFunctions}),
		others:    edge.NewRepeats(h, edge.RepeatOptions{Keys: keysOfOthers}),
	}, l.level}).With("role", role)
	return l, nil
}

func (l *logs) setLevel(name string) error {
	var v slog.Level
	if err := v.UnmarshalText([]byte(name)); err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", name)
	}
	l.level.Set(v)
	return nil
}

// with adds an attribute to every line.
func (l *logs) with(key, value string) {
	l.log, l.trace = l.log.With(key, value), l.trace.With(key, value)
}

// leveled passes on what has the level. The handler below passes everything, since traces go there past us.
type leveled struct {
	slog.Handler
	least slog.Leveler
}

func (l leveled) Enabled(_ context.Context, v slog.Level) bool { return v >= l.least.Level() }

func (l leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{l.Handler.WithAttrs(attrs), l.least}
}

func (l leveled) WithGroup(name string) slog.Handler {
	return leveled{l.Handler.WithGroup(name), l.least}
}

// sorted passes lines about a function to one handler and all others to another.
type sorted struct{ functions, others slog.Handler }

func (s sorted) Enabled(ctx context.Context, v slog.Level) bool { return s.others.Enabled(ctx, v) }

func (s sorted) Handle(ctx context.Context, r slog.Record) error {
	h := s.others
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "function" {
			h = s.functions
		}
		return a.Key != "function"
	})
	return h.Handle(ctx, r)
}

func (s sorted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sorted{s.functions.WithAttrs(attrs), s.others.WithAttrs(attrs)}
}

func (s sorted) WithGroup(name string) slog.Handler {
	return sorted{s.functions.WithGroup(name), s.others.WithGroup(name)}
}
