package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/catalog"
)

func TestStock(t *testing.T) {
	const refill = 10 * time.Second
	type step struct {
		at   int // seconds
		do   string
		want bool // of a take
	}
	for _, tt := range []struct {
		claim            string
		available, limit int
		steps            []step
	}{
		{"what is there can be taken, and no more", 2, 2, []step{{0, "take", true}, {0, "take", true}, {0, "take", false}, {99, "take", false}}},
		{"a reservation brings one more, after the refill", 1, 3, []step{{0, "take", true}, {9, "take", false}, {10, "take", true}, {19, "take", false}, {20, "take", true}}},
		{"up to the cap", 1, 2, []step{{0, "take", true}, {10, "take", true}, {99, "take", false}}},
		{"a released node is usable again after the refill", 1, 1, []step{{0, "take", true}, {5, "back", false}, {14, "take", false}, {15, "take", true}}},
		{"one that never came to be, at once", 1, 1, []step{{0, "take", true}, {1, "undo", false}, {1, "take", true}}},
		{"a release adds to what a reservation brings", 1, 2, []step{{0, "take", true}, {1, "back", false}, {10, "take", true}, {10, "take", false}, {11, "take", true}}},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			s := newStock(tt.available, tt.limit, refill)
			begin := time.Unix(0, 0)
			for i, step := range tt.steps {
				now := begin.Add(time.Duration(step.at) * time.Second)
				switch step.do {
				case "take":
					if got := s.take(now); got != step.want {
						t.Errorf("step %d: take at %ds = %v, want %v", i, step.at, got, step.want)
					}
				case "back":
					s.giveBack(now)
				case "undo":
					s.undo(now)
				}
				if s.owned > tt.limit {
					t.Errorf("step %d: owns %d nodes of at most %d", i, s.owned, tt.limit)
				}
			}
		})
	}
}

func TestMeter(t *testing.T) {
	var m meter
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	for i, tt := range []struct {
		at, cpu float64 // seconds
		counts  bool
		percent float64
	}{{1, 7, false, 0}, {1.1, 7.1, false, 0}, {2, 7.5, true, 50}, {2.1, 9, false, 50}, {3, 9.5, true, 200}} {
		if counts := m.read(at(tt.at), time.Duration(tt.cpu*1e9), time.Second/2); counts != tt.counts || m.percent != tt.percent {
			t.Errorf("reading %d: %v, %v %%, want %v, %v %%", i, counts, m.percent, tt.counts, tt.percent)
		}
	}
}

func TestLogbook(t *testing.T) {
	b := newLogbook(3*(10+lineCost), 2)
	say := func(container, function string, words ...string) {
		b.read(strings.NewReader(strings.Join(words, "\n")), container, function, false, nil)
	}
	texts := func(lines []line) (all []string) {
		for _, l := range lines {
			all = append(all, l.container+":"+l.text)
		}
		return all
	}
	_, f := b.follow("f", 0)
	say("c1", "f", "one", "two")
	say("c2", "g", "else")
	say("c1", "f", "three", "four", "a\xffb")
	for _, tt := range []struct {
		claim, function string
		lines           int
		want            []string
	}{
		{"the newest that fit", "f", 0, []string{"c1:three", "c1:four", "c1:a\ufffdb"}},
		{"the newest that are wanted", "f", 1, []string{"c1:a\ufffdb"}},
		{"all functions", "", 0, []string{"c2:else", "c1:three", "c1:four", "c1:a\ufffdb"}},
		{"unknown function", "h", 0, nil},
	} {
		if got := texts(b.last(tt.function, tt.lines)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: last(%q, %d) = %q, want %q", tt.claim, tt.function, tt.lines, got, tt.want)
		}
	}
	if got := len(f.lines); got != 5 {
		t.Errorf("the follower got %d lines, want 5", got)
	}
	b.end("c1")
	for _, c := range []string{"d1", "d2", "d3"} {
		say(c, "f", "x")
		if c != "d3" {
			b.end(c)
		}
	}
	if got, want := texts(b.last("f", 0)), []string{"d1:x", "d2:x", "d3:x"}; !reflect.DeepEqual(got, want) {
		t.Errorf("after the ends = %q, want %q: one that runs and two that ended", got, want)
	}
	if got := b.words("d2", 100); got != "x" {
		t.Errorf("words of an ended container = %q", got)
	}
	for range behind + 5 {
		say("c9", "f", "x")
	}
	if got := b.missed(f); got != 5+3+5 {
		t.Errorf("a follower that does not read misses %d lines, want 13: what came before, too", got)
	}
	b.unfollow(f)
}

func TestLongLineComesInPieces(t *testing.T) {
	b := newLogbook(1<<20, 1)
	b.read(strings.NewReader(strings.Repeat("x", pieceBytes+1)+"\nnext\r\n\nlast"), "c", "f", true, nil)
	var sizes []int
	for _, l := range b.last("", 0) {
		sizes = append(sizes, len(l.text))
	}
	if want := []int{pieceBytes, 1, 4, 0, 4}; !reflect.DeepEqual(sizes, want) {
		t.Errorf("pieces of %v bytes, want %v", sizes, want)
	}
}

func TestRelay(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	var in bytes.Buffer
	child := slog.New(slog.NewJSONHandler(&in, &slog.HandlerOptions{Level: slog.LevelDebug}))
	child.Debug("unseen")
	child.Warn("container failed", "mib", 64, "function", "f")
	fmt.Fprintln(&in, "panic: oh")
	fmt.Fprintln(&in, `{"level":"INFO"}`)
	relay(io.NopCloser(&in), log.With("node", "n1"))
	want := "level=WARN msg=\"container failed\" node=n1 function=f mib=64\n" +
		"level=WARN msg=\"panic: oh\" node=n1\n" +
		"level=WARN msg=\"{\\\"level\\\":\\\"INFO\\\"}\" node=n1\n"
	if out.String() != want {
		t.Errorf("relayed\n%swant\n%s", out.String(), want)
	}
}

func TestStartTime(t *testing.T) {
	for _, tt := range []struct {
		claim, start, seed string
		least, most        time.Duration
		fails              bool
	}{
		{"none", "", "", 0, 0, false},
		{"plain", "600ms", "", 600 * time.Millisecond, 600 * time.Millisecond, false},
		{"with jitter", "600ms~0.1", "", 540 * time.Millisecond, 660 * time.Millisecond, false},
		{"with a seed", "600ms~0.1", "7", 540 * time.Millisecond, 660 * time.Millisecond, false},
		{"no duration", "soon", "", 0, 0, true},
		{"negative", "-1s", "", 0, 0, true},
		{"no share", "1s~lots", "", 0, 0, true},
		{"more than all", "1s~1.1", "", 0, 0, true},
		{"no seed", "1s~0.1", "x", 0, 0, true},
	} {
		env := func(name string) string {
			return map[string]string{"START_TIME": tt.start, "START_SEED": tt.seed, "HOME": "/tmp/node/c3"}[name]
		}
		d, err := startTime(env)
		if (err != nil) != tt.fails || d < tt.least || d > tt.most {
			t.Errorf("%s: startTime = %v, %v, want %v to %v, fails %v", tt.claim, d, err, tt.least, tt.most, tt.fails)
		}
		if again, _ := startTime(env); tt.seed != "" && again != d {
			t.Errorf("%s: startTime = %v, then %v, want the same", tt.claim, d, again)
		}
	}
}

func TestSampleInput(t *testing.T) {
	for _, tt := range []struct {
		claim, query, body, preset string
		want                       float64
		fails                      bool
	}{
		{"ours when nothing is said", "", "", "", 100, false},
		{"the function's", "", "not JSON", "30", 30, false},
		{"the event's before that", "", `{"ms":20}`, "30", 20, false},
		{"the event's in quotes", "", `{"ms":"20"}`, "30", 20, false},
		{"the query's before all", "?ms=10", `{"ms":20}`, "30", 10, false},
		{"negative", "?ms=-1", "", "", 0, true},
		{"no number", "", `{"ms":"soon"}`, "", 0, true},
		{"not a number", "?ms=NaN", "", "", 0, true},
	} {
		r := httptest.NewRequest(http.MethodPost, "/"+tt.query, strings.NewReader(tt.body))
		if got, err := number64(r, "ms", tt.preset, 100); got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: got %v, %v, want %v, fails %v", tt.claim, got, err, tt.want, tt.fails)
		}
	}
}

func TestUnknownSample(t *testing.T) {
	err := RunSample(context.Background(), "helo", func(string) string { return "" })
	if err == nil || !strings.Contains(err.Error(), "take hello, sleep, cpu or memory") {
		t.Errorf("RunSample(helo) = %v", err)
	}
	if _, ok := RunRole(context.Background(), []string{"serve"}); ok {
		t.Error("RunRole took a command that is not its own")
	}
}

func TestCommand(t *testing.T) {
	spec := nodeSpec{NodeOptions: NodeOptions{Base: "testdata", Self: []string{"/bin/forewarm"}}}
	for _, tt := range []struct {
		claim string
		f     catalog.Function
		want  []string
	}{
		{"a file of the base folder is found, other words stay", catalog.Function{Command: []string{"python3", "app.py", "-v", "none.py"}}, []string{"python3", "testdata/app.py", "-v", "none.py"}},
		{"a program with a slash is one of the base folder", catalog.Function{Command: []string{"./run", "/app.py"}}, []string{"testdata/run", "/app.py"}},
		{"a program without one is of the path, even if there is a file", catalog.Function{Command: []string{"app.py"}}, []string{"app.py"}},
		{"a sample is this program", catalog.Function{Sample: "hello"}, []string{"/bin/forewarm", "sample", "hello"}},
	} {
		if got, err := command(spec, tt.f); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: command = %q, %v, want %q", tt.claim, got, err, tt.want)
		}
	}
}
