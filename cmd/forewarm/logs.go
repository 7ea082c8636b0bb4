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

// repeatKeys are the attributes that tell lines of the same words apart. A container is none of them: where hundreds
// start, one line in ten seconds for each function and node says so, and "forewarm decisions" lists them all.
var repeatKeys = []string{"function", "node", "changes", "file", "files"}

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
	l.log = slog.New(leveled{edge.NewRepeats(h, edge.RepeatOptions{Keys: repeatKeys}), l.level}).With("role", role)
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
