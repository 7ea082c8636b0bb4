package prewarm

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// scheduler is what a Controller asks of a dispatcher.
type scheduler interface {
	News(n *dispatcher.News) (now time.Duration)
	SetLevel(l dispatcher.Level) error
	SetNodes(t dispatcher.NodeTarget) error
}

// Controller runs a Planner against a live dispatcher: it reads the news each round, or sooner when hurried, and is
// back at the very instant at which a level changes by time alone.
type Controller struct {
	sched scheduler
	hurry <-chan struct{}
	kick  chan struct{} // a change was made; holds one
	log   *slog.Logger

	mu      sync.Mutex // guards planner: rounds and readers take turns
	planner *Planner
	last    Round
	began   time.Time // wall time of the start of the run, as the machine's clock has it; the loop's own
}

// Round tells how the last round went.
type Round struct {
	Rounds uint64        // so far
	Took   time.Duration // of the last
	Max    time.Duration // of all
	News   int           // functions with news in the last
	Levels int           // decided in the last
	Late   time.Duration // that the last began after it was due
	Carry  uint64        // schedules left for a later round, in all
	At     time.Duration // when the last began
	Sum    time.Duration // of all
}

// NewController ties a planner to a dispatcher. Hurry may be nil.
func NewController(p *Planner, s scheduler, hurry <-chan struct{}, log *slog.Logger) *Controller {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Controller{sched: s, hurry: hurry, kick: make(chan struct{}, 1), log: log, planner: p}
}

// Run goes round until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	var news dispatcher.News
	var out Decisions
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-c.hurry:
		case <-c.kick:
		}
		now := c.sched.News(&news)
		began := time.Now()
		c.followClock(began, now)
		next := c.plan(now, &news, &out)
		c.apply(&out)
		c.note(now, time.Since(began), now-due, &news, &out)
		due = next
		timer.Reset(max(0, next-now-time.Since(began)))
	}
}

// clockStep is by how much the machine's clock may drift from the run's before calendars follow it.
const clockStep = time.Second

// followClock corrects the planner's epoch when the machine's clock was set, or stood still, since the last round.
func (c *Controller) followClock(wall time.Time, now time.Duration) {
	began := wall.Round(0).Add(-now) // Round strips the monotonic reading, which knows nothing of steps
	if c.began.IsZero() {
		c.began = began
		return
	}
	step := began.Sub(c.began)
	if step.Abs() < clockStep {
		return
	}
	c.began = began
	c.mu.Lock()
	c.planner.SetEpoch(c.planner.Epoch().Add(step))
	c.mu.Unlock()
	c.log.Warn("clock was set; calendars follow it", "by", step)
}

func (c *Controller) plan(now time.Duration, news *dispatcher.News, out *Decisions) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.planner.Advance(now, news, out)
}

// apply passes decisions on. The dispatcher refuses only what no planner says.
func (c *Controller) apply(out *Decisions) {
	for i := range out.Levels {
		if err := c.sched.SetLevel(out.Levels[i]); err != nil {
			c.log.Error("level refused", "function", out.Levels[i].Fn, "want", out.Levels[i].Want, "error", err)
		}
	}
	if out.HasNodes {
		if err := c.sched.SetNodes(out.Nodes); err != nil {
			c.log.Error("node target refused", "want", out.Nodes.Want, "error", err)
		}
	}
}

func (c *Controller) note(now, took, late time.Duration, news *dispatcher.News, out *Decisions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.Rounds++
	c.last.Took, c.last.Max, c.last.At = took, max(c.last.Max, took), now
	c.last.Sum += took
	c.last.News, c.last.Levels, c.last.Late, c.last.Carry = len(news.Functions), len(out.Levels), max(0, late), c.planner.Carried
}

// Last tells how the last round went.
func (c *Controller) Last() Round {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Change calls change with the planner, between rounds, and has a round follow at once.
func (c *Controller) Change(change func(*Planner) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := change(c.planner)
	select {
	case c.kick <- struct{}{}:
	default: // one is due already
	}
	return err
}

// View calls read with the planner, between rounds.
func (c *Controller) View(read func(*Planner)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	read(c.planner)
}
