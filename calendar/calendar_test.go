package calendar

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func mustRead(t testing.TB, windows ...Window) *Calendar {
	t.Helper()
	c, err := New(windows...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAt(t *testing.T) {
	office := Window{Cron: "30 7 * * mon-fri", Duration: 10 * time.Hour, Min: 3, Zone: "Europe/Berlin"}
	noon := Window{Cron: "0 12 * * *", Duration: time.Hour, Min: 5, Max: 8, Zone: "Europe/Berlin"}
	night := Window{Cron: "0 22 * * *", Duration: 8 * time.Hour, Max: 2, Zone: "Europe/Berlin"}
	late := Window{Cron: "0 23 * * *", Duration: time.Hour, Min: 4, Zone: "Europe/Berlin"}
	all := []Window{office, noon, night, late}
	for _, tt := range []struct {
		claim string
		when  string
		want  string
	}{
		{"before the opening nothing holds", "2026-03-02T07:29:59+01:00", "0 0 false"},
		{"from the opening on the floor holds", "2026-03-02T07:30:00+01:00", "3 0 false"},
		{"another zone's name for the moment changes nothing", "2026-03-02T06:30:00Z", "3 0 false"},
		{"of two open windows the larger floor holds", "2026-03-02T12:30:00+01:00", "5 8 true"},
		{"a window ends after its duration", "2026-03-02T13:00:00+01:00", "3 0 false"},
		{"weekends are no weekdays", "2026-03-01T09:00:00+01:00", "0 0 false"},
		{"a window lasts past midnight", "2026-03-03T05:59:59.999+01:00", "0 2 true"},
		{"a floor lifts a ceiling below it", "2026-03-02T23:30:00+01:00", "4 4 true"},
	} {
		floor, ceiling, bounded := mustRead(t, all...).At(at(t, tt.when))
		if got := fmt.Sprint(floor, ceiling, bounded); got != tt.want {
			t.Errorf("%s: At(%s) = %s, want %s", tt.claim, tt.when, got, tt.want)
		}
	}
}

func TestDaylightSaving(t *testing.T) {
	for _, tt := range []struct {
		claim, cron, zone, after string
		want                     []string // openings, in order
	}{
		{"a time that does not exist opens at the change", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"times that fall on one moment open once", "*/20 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:20:00+02:00"}},
		{"a time that exists twice opens twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"}},
		{"every hour stays every real hour", "0 * * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"the second time is found from within the first", "30 2 25 10 *", "Europe/Berlin", "2026-10-25T02:45:00+02:00",
			[]string{"2026-10-25T02:30:00+01:00", "2027-10-25T02:30:00+02:00"}},
		{"New York, forward", "30 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"New York, back", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"}},
		{"half an hour forward: later hours are not lost", "10 3 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T03:10:00+11:00", "2026-10-05T03:10:00+11:00"}},
		{"half an hour forward: the half that is missing", "10 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:10:00+11:00"}},
		{"half an hour back", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30", "2026-04-06T01:45:00+10:30"}},
		{"a midnight that does not exist", "@daily", "America/Santiago", "2026-09-05T12:00:00-04:00",
			[]string{"2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"}},
		{"a day that does not exist", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T12:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"}},
		{"years apart", "0 0 29 2 *", "Europe/Berlin", "2026-01-01T12:00:00+01:00",
			[]string{"2028-02-29T00:00:00+01:00", "2032-02-29T00:00:00+01:00"}},
	} {
		c := mustRead(t, Window{Cron: tt.cron, Zone: tt.zone, Duration: time.Hour, Min: 1})
		for i, o := range c.Next(at(t, tt.after), len(tt.want)) {
			if got := o.From.Format(time.RFC3339); got != tt.want[i] {
				t.Errorf("%s: opening %d of %q in %s after %s is %s, want %s", tt.claim, i+1, tt.cron, tt.zone, tt.after, got, tt.want[i])
			}
			if o.To.Sub(o.From) != time.Hour {
				t.Errorf("%s: %q stays open for %v, want an hour", tt.claim, tt.cron, o.To.Sub(o.From))
			}
		}
	}
}

// A window that is open while the clock changes lasts as long as ever.
func TestDurationIsRealTime(t *testing.T) {
	c := mustRead(t, Window{Cron: "0 22 * * *", Zone: "Europe/Berlin", Duration: 8 * time.Hour, Min: 1})
	for from, to := range map[string]string{
		"2026-03-28T22:00:00+01:00": "2026-03-29T07:00:00+02:00",
		"2026-10-24T22:00:00+02:00": "2026-10-25T05:00:00+01:00",
		"2026-06-01T22:00:00+02:00": "2026-06-02T06:00:00+02:00",
	} {
		if got := c.NextChange(at(t, from)); !got.Equal(at(t, to)) {
			t.Errorf("the window of %s closes at %s, want %s", from, got, to)
		}
	}
}

func TestNextOfSeveralWindows(t *testing.T) {
	c := mustRead(t,
		Window{Cron: "0 8 * * *", Duration: 2 * time.Hour, Min: 2},
		Window{Cron: "0 9,21 * * *", Duration: 30 * time.Minute, Min: 1, Max: 4})
	var got strings.Builder
	for _, o := range c.Next(at(t, "2026-05-01T08:00:00Z"), 4) {
		fmt.Fprintf(&got, "%d: %s-%s %d..%d\n", o.Window, o.From.Format("02 15:04"), o.To.Format("15:04"), o.Min, o.Max)
	}
	want := "1: 01 09:00-09:30 1..4\n1: 01 21:00-21:30 1..4\n0: 02 08:00-10:00 2..0\n1: 02 09:00-09:30 1..4\n"
	if got.String() != want {
		t.Errorf("the next four are\n%swant\n%s", got.String(), want)
	}
}

// Windows that overlap themselves without end must not keep NextChange busy.
func TestEndlessOverlapIsBounded(t *testing.T) {
	c := mustRead(t, Window{Cron: "* * * * *", Duration: time.Hour, Min: 1})
	now := at(t, "2026-05-01T08:00:00Z")
	if got := c.NextChange(now).Sub(now); got != hiddenEdges*time.Minute {
		t.Errorf("the next look is in %v, want %v", got, hiddenEdges*time.Minute)
	}
	if !(*Calendar)(nil).NextChange(now).IsZero() || len((&Calendar{}).Next(now, 3)) != 0 {
		t.Error("an empty calendar changes")
	}
}

func TestNewRefuses(t *testing.T) {
	good := Window{Cron: "0 8 * * *", Duration: time.Hour, Min: 1}
	for _, tt := range []struct {
		spoil func(*Window)
		want  []string
	}{
		{func(w *Window) { w.Cron = "61 8 * * *" }, []string{`window 2 ("61 8 * * *")`, "cron", "above maximum (59)", "say minute, hour"}},
		{func(w *Window) { w.Cron = "" }, []string{"cron", "say minute, hour"}},
		{func(w *Window) { w.Cron = "0 0 8 * * *" }, []string{"expected exactly 5 fields", "say minute, hour"}},
		{func(w *Window) { w.Cron = "0 0 30 2 *" }, []string{"never comes"}},
		{func(w *Window) { w.Cron = "@every 1h" }, []string{"no beginning", "*/15"}},
		{func(w *Window) { w.Cron = "TZ=UTC" }, []string{"field zone"}},
		{func(w *Window) { w.Cron = "@reboot" }, []string{"cron", "say minute, hour"}},
		{func(w *Window) { w.Zone = "Mars/Olympus" }, []string{`zone "Mars/Olympus" is not known`, "Europe/Berlin"}},
		{func(w *Window) { w.Duration = 0 }, []string{"duration 0s is not positive", "2h"}},
		{func(w *Window) { w.Duration = -time.Hour }, []string{"duration -1h0m0s is not positive"}},
		{func(w *Window) { w.Min = -1 }, []string{"min -1 is negative"}},
		{func(w *Window) { w.Max = -1 }, []string{"max -1 is negative", "no ceiling"}},
		{func(w *Window) { w.Min, w.Max = 5, 3 }, []string{"min 5 is above max 3", "raise max"}},
		{func(w *Window) { w.Min = 0 }, []string{"both missing"}},
		{func(w *Window) { w.Zone, w.Duration = "x", 0 }, []string{"zone", "duration"}},
	} {
		bad := good
		tt.spoil(&bad)
		_, err := New(good, bad)
		if err == nil {
			t.Errorf("%+v is taken", bad)
			continue
		}
		for _, want := range append(tt.want, "window 2") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: the error says %q, and not %q", bad, err, want)
			}
		}
	}
}

func BenchmarkNextChange(b *testing.B) {
	for _, cron := range []string{"*/5 * * * *", "30 7 * * mon-fri", "0 0 29 2 *"} {
		c := mustRead(b, Window{Cron: cron, Duration: time.Minute, Min: 1, Zone: "Europe/Berlin"})
		t := at(b, "2026-05-01T08:00:00Z")
		b.Run(strings.ReplaceAll(cron, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.NextChange(t)
			}
		})
	}
}
