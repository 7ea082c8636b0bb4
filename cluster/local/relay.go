package local

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"
)

// childLogger is what a node logs with: lines of JSON on its standard error, which
// its starter relays, so that a cluster has one log.
func childLogger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// relay logs what a node writes until it ends, and closes the file. What is no
// line of childLogger's, such as a panic, is logged as it is.
func relay(r io.ReadCloser, log *slog.Logger) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rec, ok := parseRecord(lines.Bytes())
		switch {
		case !ok:
			log.Warn(lines.Text())
		case log.Enabled(context.Background(), rec.Level):
			_ = log.Handler().Handle(context.Background(), rec) // no one to tell but the log itself
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line beyond all bounds must not block the node
}

func parseRecord(line []byte) (slog.Record, bool) {
	var attrs map[string]any
	if json.Unmarshal(line, &attrs) != nil {
		return slog.Record{}, false
	}
	var level slog.Level
	text, _ := attrs[slog.LevelKey].(string)
	msg, ok := attrs[slog.MessageKey].(string)
	if !ok || level.UnmarshalText([]byte(text)) != nil {
		return slog.Record{}, false
	}
	at, _ := attrs[slog.TimeKey].(string)
	when, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return slog.Record{}, false
	}
	rec := slog.NewRecord(when, level, msg, 0)
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		if key != slog.LevelKey && key != slog.MessageKey && key != slog.TimeKey {
			rec.AddAttrs(slog.Any(key, attrs[key]))
		}
	}
	return rec, true
}
