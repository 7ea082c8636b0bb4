package prewarm

import (
	"testing"
	"testing/synctest"
	"time"
)

// A change is carried out at once, not a round later.
func TestChangeKicksARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Options{RoundMin: time.Minute, RoundMax: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		s := &fakeScheduler{start: time.Now()}
		c := NewController(p, s, nil, nil)
		go c.Run(t.Context())
		time.Sleep(time.Second)
		if err := c.Change(func(p *Planner) error {
			return p.Declare(s.now(), 0, "acc", "f", 1)
		}); err != nil {
			t.Fatal(err)
		}
		if err := c.Change(func(p *Planner) error { return p.SetBounds("acc", "f", Bounds{Min: 2}) }); err != nil {
			t.Fatal(err)
		}
		if err := c.Change(func(p *Planner) error { return p.SetBounds("acc", "f", Bounds{Min: -1}) }); err == nil {
			t.Error("a change that fails is not told")
		}
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.said); n == 0 || s.said[n-1].want != 2 || s.said[n-1].at != time.Second {
			t.Errorf("said %+v, want 2 at once", s.said)
		}
	})
}

// When the machine's clock is set, calendars follow; what it shows from round to round does not matter otherwise.
func TestControllerFollowsTheClock(t *testing.T) {
	epoch := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p, err := New(Options{Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	c := NewController(p, nil, nil, nil)
	wall := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		now, shown, want time.Duration
	}{
		{0, 0, 0},
		{time.Minute, time.Minute + 900*time.Millisecond, 0},
		{2 * time.Minute, time.Hour + 2*time.Minute, time.Hour},
		{3 * time.Minute, time.Hour + 3*time.Minute, time.Hour},
		{4 * time.Minute, 4 * time.Minute, 0},
	} {
		c.followClock(wall.Add(tt.shown), tt.now)
		if got := p.Epoch().Sub(epoch); got != tt.want {
			t.Errorf("at %v, with the clock showing %v, the epoch has moved by %v, want %v", tt.now, tt.shown, got, tt.want)
		}
	}
}
