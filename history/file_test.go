package history

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// noon is when the tests' run begins.
var noon = time.Date(2026, time.January, 5, 12, 0, 0, 0, time.UTC)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z := gzip.NewWriter(f)
		fmt.Fprint(z, text)
		z.Close()
	} else {
		fmt.Fprint(f, text)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// said writes functions as "account/name start+service ...".
func said(functions []Function) string {
	var s []string
	for _, f := range functions {
		line := f.Account + "/" + f.Name
		for at, took := range f.Calls {
			line += fmt.Sprintf(" %v+%v", at, took)
		}
		s = append(s, line)
	}
	return strings.Join(s, "; ")
}

func TestFiles(t *testing.T) {
	for _, tt := range []struct{ about, name, text, want string }{
		{"the least that CSV can have", "a.csv", "timestamp,function\n2026-01-05T11:59:00Z,f\n", "/f -1m0s+100ms"},
		{"columns in any order and case, others beside them", "a.csv",
			"Region, Duration_MS,FUNCTION,timestamp,account\neu,250,f,2026-01-05T11:59:00Z,acc\n", "acc/f -1m0s+250ms"},
		{"seconds, milliseconds, fractions and zones", "a.csv",
			"timestamp,function\n1767614340,f\n1767614350500,f\n1767614355.25,f\n2026-01-05T12:59:56+01:00,f\n", "/f -1m0s+100ms -49.5s+100ms -44.75s+100ms -4s+100ms"},
		{"rows in any order", "a.csv", "timestamp,function\n1767614399,g\n1767614390,f\n1767614380,f\n", "/f -20s+100ms -10s+100ms; /g -1s+100ms"},
		{"a count is spread over the step", "a.csv", "timestamp,function,count\n1767614280,f,4\n", "/f -1m52.5s+100ms -1m37.5s+100ms -1m22.5s+100ms -1m7.5s+100ms"},
		{"or until the next row", "a.csv", "timestamp,function,count\n1767614280,f,2\n1767614284,f,1\n1767614290,f,0\n", "/f -1m59s+100ms -1m57s+100ms -1m56s+100ms"},
		{"or until the run begins", "a.csv", "timestamp,function,count\n1767614380,f,2\n", "/f -15s+100ms -5s+100ms"},
		{"quoted cells, carriage returns, empty lines and a byte order mark", "a.csv",
			"\ufefftimestamp,function\r\n\r\n1767614399,\"a, b\"\r\n", "/a, b -1s+100ms"},
		{"accounts apart", "a.csv", "timestamp,function,account\n1767614399,f,b\n1767614398,f,a\n", "a/f -2s+100ms; b/f -1s+100ms"},
		{"what lies ahead is left out", "a.csv", "timestamp,function\n1767614399,f\n1767614401,f\n1767614401,g\n", "/f -1s+100ms"},
		{"JSON lines", "a.json", `{"timestamp":"2026-01-05T11:59:00Z","function":"f","account":"acc","duration_ms":20.5,"count":1,"more":[1]}` + "\n" +
			`{"timestamp":1767614399.5,"function":"f","account":"acc"}` + "\n", "acc/f -1m0s+20.5ms -500ms+100ms"},
		{"compressed", "a.csv.gz", "timestamp,function\n1767614399,f\n", "/f -1s+100ms"},
		{"compressed JSON lines", "a.jsonl.gz", `{"timestamp":1767614399,"function":"f"}`, "/f -1s+100ms"},
	} {
		got, _, err := Load(t.Context(), write(t, tt.name, tt.text), Options{Epoch: noon})
		if err != nil {
			t.Errorf("%s: %v", tt.about, err)
		} else if said(got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.about, said(got), tt.want)
		}
	}
}

func TestBadFilesNameTheLine(t *testing.T) {
	for _, tt := range []struct{ about, name, text, want string }{
		{"no head line", "a.csv", "2026-01-05T11:59:00Z,f\n", `a.csv:1: no column "timestamp"`},
		{"a column twice", "a.csv", "timestamp,function,Function\n", `a.csv:1: column "function" stands twice`},
		{"empty", "a.csv", "\n", "a.csv is empty"},
		{"a bad time", "a.csv", "timestamp,function\n1767614399,f\nyesterday,f\n", `a.csv:3: timestamp "yesterday" is neither`},
		{"microseconds", "a.csv", "timestamp,function\n1767614399000000,f\n", `a.csv:2: timestamp "1767614399000000" is no number of seconds or milliseconds`},
		{"no time", "a.csv", "timestamp,function\nNaN,f\n", `a.csv:2: timestamp "NaN"`},
		{"no name", "a.csv", "timestamp,function\n1767614399,\n", `a.csv:2: function ""`},
		{"a negative duration", "a.csv", "timestamp,function,duration_ms\n1767614399,f,-1\n", `a.csv:2: duration_ms "-1"`},
		{"a duration without end", "a.csv", "timestamp,function,duration_ms\n1767614399,f,+Inf\n", `a.csv:2: duration_ms "+Inf"`},
		{"half a call", "a.csv", "timestamp,function,count\n1767614399,f,1.5\n", `a.csv:2: count "1.5"`},
		{"a short row", "a.csv", "timestamp,function\n1767614399\n", "a.csv:2: 1 cells, the head line has 2"},
		{"a quote that does not end", "a.csv", "timestamp,function\n1767614399,\"f\n1767614399,g\n", "a.csv:2: column"},
		{"bad JSON", "a.jsonl", `{"timestamp":1767614399,"function":"f"}` + "\n{\n", "a.jsonl:2: unexpected end"},
		{"a JSON array", "a.json", "[\n", "a.json:1: a JSON array"},
		{"a line without end", "a.csv", "timestamp,function\n" + strings.Repeat("x", maxLine+1), "a.csv:2: the line is longer"},
		{"a name that is too long", "a.csv", "timestamp,function\n1767614399," + strings.Repeat("x", 1025), "a.csv:2: function"},
	} {
		got, _, err := Load(t.Context(), write(t, tt.name, tt.text), Options{Epoch: noon})
		if err == nil || !strings.Contains(err.Error(), tt.want) || got != nil {
			t.Errorf("%s: got %v and error %.200v, want only an error with %q", tt.about, got, err, tt.want)
		}
	}
	if _, _, err := Load(t.Context(), write(t, "a.gz", "")[:3]+"/nowhere.csv", Options{}); err == nil || !strings.Contains(err.Error(), "nowhere.csv") {
		t.Errorf("a file that is not there: %v", err)
	}
	path := write(t, "b.csv", "timestamp,function\n")
	if err := os.Rename(path, path+".gz"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(t.Context(), path+".gz", Options{}); err == nil || !strings.Contains(err.Error(), "b.csv.gz: gzip: invalid header") {
		t.Errorf("a file that is not compressed and says so: %v", err)
	}
}

func TestBounds(t *testing.T) {
	var s strings.Builder
	fmt.Fprintln(&s, "timestamp,function,count")
	for i := range 5000 {
		fmt.Fprintf(&s, "%d,f%d,1\n", noon.Unix()-int64(i), i%5)
	}
	fmt.Fprintf(&s, "%d,f0,1000000000000\n", noon.Unix()-6000)
	path := write(t, "a.csv", s.String())
	for _, tt := range []struct {
		about string
		o     Options
		want  Report
	}{
		{"functions", Options{MaxFunctions: 3, MaxCalls: 1000}, Report{Functions: 3, Calls: 3000, Rows: 5001, Beyond: 2000, Dropped: 1e12}},
		{"calls", Options{MaxCalls: 100}, Report{Functions: 5, Calls: 500, Rows: 5001, Dropped: 1e12 + 4500}},
		{"rows", Options{MaxCalls: 1000, MaxRows: 1000}, Report{Functions: 5, Dropped: -1}},
	} {
		tt.o.Epoch = noon
		functions, r, err := Load(t.Context(), path, tt.o)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range functions {
			last := time.Duration(-1 << 62)
			for at := range f.Calls {
				if at < last {
					t.Fatalf("%s: a call at %v comes after one at %v", tt.about, at, last)
				}
				last = at
				n++
			}
			if f.Name == "f1" && last != -time.Second {
				t.Errorf("%s: the last call of f1 is at %v, want the latest, at -1s", tt.about, last)
			}
		}
		if n != r.Calls {
			t.Errorf("%s: %d calls, the report says %d", tt.about, n, r.Calls)
		}
		if tt.want.Dropped < 0 {
			if r.Calls > 1000 || r.Calls < 200 || r.Functions != 5 {
				t.Errorf("%s: %+v, want 5 functions with 200 to 1000 calls in all", tt.about, r)
			}
			continue
		}
		if r.Functions != tt.want.Functions || r.Calls != tt.want.Calls || r.Rows != tt.want.Rows || r.Beyond != tt.want.Beyond || r.Dropped != tt.want.Dropped {
			t.Errorf("%s: got %+v, want %+v", tt.about, r, tt.want)
		}
	}
}

// TestFeedKnowsTheNextCall has a planner learn a timer from a file: before its first call it knows when that comes.
func TestFeedKnowsTheNextCall(t *testing.T) {
	var s strings.Builder
	fmt.Fprintln(&s, "timestamp,function,account,duration_ms")
	for i := range 50 {
		fmt.Fprintf(&s, "%d,nightly,acc,1000\n", noon.Unix()-int64(20+60*i))
		fmt.Fprintf(&s, "%d,known,acc,1000\n", noon.Unix()-int64(20+60*i))
	}
	planner, err := prewarm.New(prewarm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	planner.Load("acc", "known", []byte{2}, time.Minute)
	r, err := Feed(t.Context(), write(t, "a.csv", s.String()), planner, Options{Epoch: noon})
	if err != nil {
		t.Fatal(err)
	}
	if r.Functions != 1 || r.Calls != 50 || r.Saved != 1 {
		t.Errorf("fed %v, want 50 calls of one function, and one that was known", r)
	}
	if err := planner.Declare(0, 0, "acc", "nightly", 128<<20); err != nil {
		t.Fatal(err)
	}
	var news dispatcher.News
	var out prewarm.Decisions
	planner.Advance(time.Second, &news, &out)
	f, ok := planner.Forecast(time.Second, 0)
	if !ok || !f.Known || f.Expect < 38*time.Second || f.Expect > 40*time.Second {
		t.Errorf("the next call is expected in %v (known: %v), want in 39s", f.Expect, f.Known)
	}
}

func TestFeedStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	planner, _ := prewarm.New(prewarm.Options{})
	r, err := Feed(ctx, write(t, "a.csv", "timestamp,function\n1767614399,f\n"), planner, Options{Epoch: noon})
	if err == nil || r.Functions != 0 {
		t.Errorf("fed %v with error %v after it was called off", r, err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{Step: time.Millisecond}, {Step: 1500 * time.Millisecond}, {Since: time.Second}, {Service: -1}, {MaxRows: -1}, {Tries: -1}} {
		if _, _, err := Load(t.Context(), "x", o); err == nil || !strings.Contains(err.Error(), "history: ") {
			t.Errorf("Load with %+v: %v, want an error", o, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("timestamp,function,account,duration_ms,count\n1767614399,f,a,20,3\n")
	f.Add(`{"timestamp":1767614399,"function":"f","count":2}`)
	f.Add("timestamp,function\n\"17\"\"\",f\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, _ := Options{Epoch: noon, MaxCalls: 1000}.withDefaults()
		b := newBook(o)
		if readLines(t.Context(), "x", strings.NewReader(text), b) != nil {
			return
		}
		for _, fn := range b.functions() {
			n, last := 0, time.Duration(-1<<63)
			for at, took := range fn.Calls {
				if n++; at < last || at > 0 || took < 0 || n > 1000 {
					t.Fatalf("call %d of %q at %v after %v took %v", n, fn.Name, at, last, took)
				}
				last = at
			}
		}
	})
}
