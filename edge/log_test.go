package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// evil is a name that forges a line, paints, and turns letters around.
const evil = "x\nlevel=ERROR msg=forged \x1b[31m\u202e"

type evilValuer struct{}

func (evilValuer) LogValue() slog.Value { return slog.StringValue(evil) }

type evilStringer struct{}

func (evilStringer) String() string { return evil }

type panics struct{}

func (panics) String() string { panic("no") }

func TestEscapingHandler(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		var h slog.Handler = slog.NewTextHandler(&out, nil)
		if format == "json" {
			h = slog.NewJSONHandler(&out, nil)
		}
		log := slog.New(NewEscaping(h))
		for name, line := range map[string]func(){
			"message":    func() { log.Info(evil) },
			"value":      func() { log.Info("m", "k", evil) },
			"key":        func() { log.Info("m", evil, 1) },
			"error":      func() { log.Info("m", "k", fmt.Errorf("start %w", errors.New(evil))) },
			"valuer":     func() { log.Info("m", "k", evilValuer{}) },
			"stringer":   func() { log.Info("m", "k", evilStringer{}) },
			"list":       func() { log.Info("m", "k", []string{evil}) },
			"struct":     func() { log.Info("m", "k", struct{ A map[string]string }{map[string]string{"a": evil}}) },
			"bytes":      func() { log.Info("m", "k", []byte(evil)) },
			"group":      func() { log.Info("m", slog.Group("g", "k", evil, slog.Group("h", "k", evil))) },
			"bound":      func() { log.With("k", evil, "e", errors.New(evil)).Info("m") },
			"named":      func() { log.WithGroup(evil).Info("m", "k", evil) },
			"panic":      func() { log.Info("m", "k", panics{}) },
			"nil":        func() { log.Info("m", "k", nil, "e", error(nil), "p", (*evilStringer)(nil)) },
			"ridiculous": func() { log.Info("m", "k", strings.Repeat(evil, 1<<12)) },
		} {
			out.Reset()
			line()
			got := out.String()
			if strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b\u202e") || len(got) > 3*maxText {
				t.Errorf("%s, %s: %.300q", format, name, got)
			}
		}
	}
}

func TestEscapingKeepsWhatPrints(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewEscaping(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})))
	log.Info("below the level")
	log.Warn("started", "function", "hello", "n", 3, "took", time.Second, "list", []string{"a"}, "struct", struct{ A int }{1}, "error", errors.New("no"))
	if want := `"msg":"started","function":"hello","n":3,"took":1000000000,"list":["a"],"struct":{"A":1},"error":"no"}`; !strings.HasSuffix(strings.TrimSpace(out.String()), want) {
		t.Errorf("logged %s, want %s", out.String(), want)
	}
}

// script writes records at seconds since the epoch, and returns what was let through.
func script(t *testing.T, o RepeatOptions, lines ...func(slog.Handler, *bytes.Buffer)) string {
	t.Helper()
	var out bytes.Buffer
	h := NewRepeats(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Int64("t", a.Value.Time().Unix())
		}
		return a
	}}), o)
	for _, l := range lines {
		l(h, &out)
	}
	return strings.ReplaceAll(out.String(), "level=INFO msg=", "")
}

func at(second int64, level slog.Level, msg string, args ...any) func(slog.Handler, *bytes.Buffer) {
	return func(h slog.Handler, _ *bytes.Buffer) {
		r := slog.NewRecord(time.Unix(second, 0), level, msg, 0)
		r.Add(args...)
		_ = h.Handle(context.Background(), r) // a buffer takes all
	}
}

func TestRepeats(t *testing.T) {
	o := RepeatOptions{Window: 10 * time.Second, Keys: []string{"fn"}}
	for _, tt := range []struct {
		name  string
		lines []func(slog.Handler, *bytes.Buffer)
		want  string
	}{
		{"once in a window, then with their number", []func(slog.Handler, *bytes.Buffer){
			at(1, slog.LevelInfo, "a"), at(2, slog.LevelInfo, "a"), at(10, slog.LevelInfo, "a"), at(11, slog.LevelInfo, "a"), at(30, slog.LevelInfo, "a"),
		}, "t=1 a\nt=11 a suppressed=2\nt=30 a\n"},
		{"messages, levels and keys apart", []func(slog.Handler, *bytes.Buffer){
			at(1, slog.LevelInfo, "a", "fn", "x"), at(1, slog.LevelInfo, "a", "fn", "y"), at(1, slog.LevelInfo, "b"), at(1, slog.LevelError, "b"),
			at(2, slog.LevelInfo, "a", "fn", "y", "n", 7),
		}, "t=1 a fn=x\nt=1 a fn=y\nt=1 b\nt=1 level=ERROR msg=b\n"},
		{"other attributes do not count", []func(slog.Handler, *bytes.Buffer){
			at(1, slog.LevelInfo, "a", "n", 1), at(2, slog.LevelInfo, "a", "n", 2),
		}, "t=1 a n=1\n"},
		{"debug passes", []func(slog.Handler, *bytes.Buffer){
			at(1, slog.LevelDebug, "a"), at(1, slog.LevelDebug, "a"),
		}, "t=1 level=DEBUG msg=a\nt=1 level=DEBUG msg=a\n"},
		{"a clock set back does not silence", []func(slog.Handler, *bytes.Buffer){
			at(1000, slog.LevelInfo, "a"), at(1, slog.LevelInfo, "a"), at(2, slog.LevelInfo, "a"),
		}, "t=1000 a\nt=1 a\n"},
		{"bound keys count as others do", []func(slog.Handler, *bytes.Buffer){
			func(h slog.Handler, b *bytes.Buffer) {
				x, y := h.WithAttrs([]slog.Attr{slog.String("fn", "x")}), h.WithAttrs([]slog.Attr{slog.String("fn", "y")})
				for _, h := range []slog.Handler{x, x, y, x, y.WithGroup("g")} {
					at(1, slog.LevelInfo, "a")(h, b)
				}
			},
		}, "t=1 a fn=x\nt=1 a fn=y\n"},
	} {
		if got := script(t, o, tt.lines...); got != tt.want {
			t.Errorf("%s:\n%swant\n%s", tt.name, got, tt.want)
		}
	}
}

// TestRepeatsForgetsTheOldest remembers two lines; what it forgot is still counted.
func TestRepeatsForgetsTheOldest(t *testing.T) {
	got := script(t, RepeatOptions{Window: 10 * time.Second, Most: 2},
		at(1, slog.LevelInfo, "a"), at(1, slog.LevelInfo, "a"), at(1, slog.LevelInfo, "b"), at(2, slog.LevelInfo, "c"), at(3, slog.LevelInfo, "b"), at(20, slog.LevelInfo, "b"))
	if want := "t=1 a\nt=1 b\nt=2 c suppressed_others=1\nt=20 b suppressed=1\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	h := NewRepeats(slog.DiscardHandler, RepeatOptions{Keys: []string{"fn"}}).(*repeats)
	for i := range 100_000 {
		at(int64(i), slog.LevelInfo, "a", "fn", i)(h, nil)
	}
	if n, m := len(h.memory.lines), h.memory.order.Len(); n != 1024 || m != n {
		t.Errorf("%d and %d lines remembered, want 1024", n, m)
	}
}
