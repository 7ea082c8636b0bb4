package calendar

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones must be known where the system has none, as in an empty container image

	"github.com/robfig/cron/v3"
)

// Window says how many containers a function is to have from each opening on, for a while.
type Window struct {
	Cron     string        // when it opens: "30 7 * * mon-fri", or @daily and the like
	Duration time.Duration // how long it stays open, > 0; longer than until the next opening is allowed
	Min      int           // containers at least while it is open, >= 0
	Max      int           // at most, >= Min; 0: the window says nothing about it
	Zone     string        // in which Cron is read, such as Europe/Berlin. Default UTC
}

// window is a Window that was read.
type window struct {
	Window
	cron cron.Schedule
	zone *time.Location
}

const cronHint = `say minute, hour, day of month, month and day of week, as in "30 7 * * mon-fri", or @daily`

// read checks w. All that is wrong is in the error.
func read(w Window) (r window, err error) {
	r = window{Window: w}
	var wrong []error
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if r.cron, err = parse(w.Cron); err != nil {
		wrong = append(wrong, err)
	}
	if r.zone, err = time.LoadLocation(w.Zone); err != nil {
		refuse("zone %q is not known; give one of the tz database, such as Europe/Berlin, or leave it out for UTC", w.Zone)
	}
	if w.Duration <= 0 {
		refuse("duration %v is not positive; say how long the window stays open, as in 2h", w.Duration)
	}
	if w.Min < 0 {
		refuse("min %d is negative; the least is 0", w.Min)
	}
	if w.Max < 0 {
		refuse("max %d is negative; leave it out, or 0, for no ceiling", w.Max)
	}
	if w.Max > 0 && w.Min > w.Max {
		refuse("min %d is above max %d; raise max or lower min", w.Min, w.Max)
	}
	if w.Min == 0 && w.Max == 0 {
		refuse("min and max are both missing; give at least one")
	}
	return r, errors.Join(wrong...)
}

// parse reads an expression. What the library would take beyond our five fields is refused: zones have a field of
// their own, and @every counts from when it is asked, which a calendar without state cannot know.
func parse(expr string) (cron.Schedule, error) {
	switch {
	case strings.HasPrefix(expr, "TZ=") || strings.HasPrefix(expr, "CRON_TZ="):
		return nil, fmt.Errorf("cron %q carries a zone; put it into the field zone", expr)
	case strings.HasPrefix(expr, "@every"):
		return nil, fmt.Errorf(`cron %q has no beginning to count from; use steps, as in "*/15 * * * *"`, expr)
	}
	s, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(expr)
	if err != nil {
		return nil, fmt.Errorf("cron %q: %w; %s", expr, err, cronHint)
	}
	if s.Next(leapYear).IsZero() {
		return nil, fmt.Errorf("cron %q never comes; its day does not exist in its month", expr)
	}
	return s, nil
}

// leapYear has every day that a year may have.
var leapYear = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
