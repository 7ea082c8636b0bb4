package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func newAudit(t *testing.T, o AuditOptions) *Audit {
	t.Helper()
	a, err := NewAudit(o)
	must(t, err)
	return a
}

// lines reads what is in a file.
func lines(t *testing.T, file string) (out []Change) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	for l := range bytes.Lines(text) {
		var c Change
		if json.Unmarshal(l, &c) == nil {
			out = append(out, c)
		}
	}
	return out
}

func say(cs []Change) string {
	var b strings.Builder
	for _, c := range cs {
		fmt.Fprintf(&b, "%d %s %s>%s %s; ", c.Seq, c.What, c.Before, c.After, c.Failed)
	}
	return b.String()
}

func TestAuditIsWrittenAhead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	a := newAudit(t, AuditOptions{File: file, Keep: 3})
	ctx := withCaller(t.Context(), Identity{Token: "ops", Peer: "192.0.2.1:99"})
	end := a.Begin(ctx, "set mode", "on", "off")
	if got := say(lines(t, file)); got != "1 set mode on>off ; " {
		t.Errorf("before the change is done, the file holds %q", got)
	}
	end(nil)
	a.Begin(ctx, "drain node", "n1\n\x1b[31m", "")(errors.New("no such node"))
	for i := range 3 {
		a.Begin(ctx, "set min", fmt.Sprint(i), fmt.Sprint(i+1))(nil)
	}
	if got, want := say(a.Last(2)), "5 set min 2>3 ; 4 set min 1>2 ; "; got != want {
		t.Errorf("Last(2) = %q, want %q", got, want)
	}
	if got := a.Last(100); len(got) != 3 {
		t.Errorf("%d changes in memory, want 3", len(got))
	}
	all := lines(t, file)
	if got, want := say(all), `1 set mode on>off ; 2 drain node n1\n\x1b[31m> ; 2  > no such node; 3 set min 0>1 ; 4 set min 1>2 ; 5 set min 2>3 ; `; got != want {
		t.Errorf("file: %q, want %q", got, want)
	}
	if all[0].Who != "token ops, from 192.0.2.1:99" || time.Since(all[0].At) > time.Minute {
		t.Errorf("who and when: %+v", all[0])
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	must(t, a.Close())
}

func TestAuditSurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	a := newAudit(t, AuditOptions{File: file})
	a.Begin(t.Context(), "a", "1", "2")(nil)
	a.Begin(t.Context(), "b", "1", "2")(errors.New("no"))
	must(t, a.Close())
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"seq":3,"what":"to`) // a crash in the middle of a line
	must(t, err)
	must(t, f.Close())
	a = newAudit(t, AuditOptions{File: file})
	if got, want := say(a.Last(10)), "2 b 1>2 no; 1 a 1>2 ; "; got != want {
		t.Errorf("taken over: %q, want %q", got, want)
	}
	a.Begin(t.Context(), "c", "", "")(nil)
	must(t, a.Close())
	if got, want := say(lines(t, file)), "1 a 1>2 ; 2 b 1>2 ; 2  > no; 3 c > ; "; got != want {
		t.Errorf("file: %q, want %q", got, want)
	}
}

func TestAuditFollowsRotation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	a := newAudit(t, AuditOptions{File: file})
	a.Begin(t.Context(), "a", "", "")(nil)
	must(t, os.Rename(file, file+".1"))
	a.Begin(t.Context(), "b", "", "")(nil)
	must(t, os.Remove(file))
	a.Begin(t.Context(), "c", "", "")(nil)
	if got := say(lines(t, file+".1")) + say(lines(t, file)); got != "1 a > ; 3 c > ; " {
		t.Errorf("the renamed file and the new one hold %q", got)
	}
	must(t, a.Close())
}

// TestAuditOnAFullDisk writes to the kernel's own full disk, then to one with room again.
func TestAuditOnAFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("there is no full disk here: %v", err)
	}
	var out bytes.Buffer
	lost := 0
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	a := newAudit(t, AuditOptions{File: file, Keep: 4, Lost: func(n int) { lost += n }, Log: slog.New(slog.NewTextHandler(&out, nil))})
	a.Begin(t.Context(), "room", "", "")(nil)
	a.file.f.Close()
	a.file.path, a.file.f = "/dev/full", full
	began := time.Now()
	for i := range 6 {
		a.Begin(t.Context(), fmt.Sprint("full ", i), "", "")(nil)
	}
	if took := time.Since(began); took > diskTime {
		t.Errorf("six changes took %v with a full disk", took)
	}
	if n := a.Waiting(); n != 4 || lost != 2 || len(a.Last(10)) != 4 {
		t.Errorf("%d wait, %d lost, %d in memory, want 4, 2 and 4", n, lost, len(a.Last(10)))
	}
	if tried := a.retry(); tried != nil {
		<-tried
	}
	a.file.path = file
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, a.Run(ctx))
	must(t, a.Close())
	if got, want := say(lines(t, file)), "1 room > ; 4 full 2 > ; 5 full 3 > ; 6 full 4 > ; 7 full 5 > ; "; got != want {
		t.Errorf("file: %q, want %q", got, want)
	}
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "no space left on device") || !strings.Contains(got, "written again") {
		t.Errorf("logged %q, want one line when it began and one when it ended", got)
	}
}

// hanging is a log that hangs, which stands for a disk that does: the writer cannot go on.
type hanging struct {
	slog.Handler
	until chan struct{}
}

func (h hanging) Handle(context.Context, slog.Record) error {
	<-h.until
	return nil
}

func TestAuditDoesNotWaitForADiskThatHangs(t *testing.T) {
	until := make(chan struct{})
	dir := filepath.Join(t.TempDir(), "dir")
	must(t, os.Mkdir(dir, 0o700))
	file := filepath.Join(dir, "audit.jsonl")
	a := newAudit(t, AuditOptions{File: file, Log: slog.New(hanging{slog.NewTextHandler(os.Stderr, nil), until})})
	must(t, os.RemoveAll(dir)) // the next write fails, and reporting it hangs
	began := time.Now()
	a.Begin(t.Context(), "a", "", "")
	a.Begin(t.Context(), "b", "", "")
	if took := time.Since(began); took < diskTime || took > 10*diskTime {
		t.Errorf("two changes took %v, want about %v", took, 2*diskTime)
	}
	close(until)
	must(t, os.Mkdir(dir, 0o700))
	if tried := a.retry(); tried != nil {
		<-tried
	}
	must(t, a.Close())
	if got, want := say(lines(t, file)), "1 a > ; 2 b > ; "; got != want {
		t.Errorf("file: %q, want %q", got, want)
	}
}

func TestAuditByMany(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	a := newAudit(t, AuditOptions{File: file})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range 8 {
		wg.Go(func() {
			for i := range 10 {
				if end := a.Begin(ctx, "x", "", ""); i%5 == 0 {
					failed.Add(1)
					end(errors.New("no"))
				}
				a.Last(10)
				a.Waiting()
			}
		})
	}
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	wg.Wait()
	cancel()
	must(t, <-ended)
	must(t, a.Close())
	if n := len(lines(t, file)); n != 80+int(failed.Load()) {
		t.Errorf("%d lines, want %d", n, 80+failed.Load())
	}
}

func TestAuditFilesThatCannotBeUsed(t *testing.T) {
	for _, f := range []string{t.TempDir(), "/nonexistent/audit", "/dev/null"} {
		if a, err := NewAudit(AuditOptions{File: f}); err == nil {
			t.Errorf("%s: taken", f)
			a.Close()
		}
	}
	a := newAudit(t, AuditOptions{})
	a.Begin(t.Context(), "in memory", "", "")(nil)
	if len(a.Last(1)) != 1 || a.Close() != nil {
		t.Error("without a file, changes are kept in memory")
	}
}
