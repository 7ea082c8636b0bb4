package scheduler

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// Levers of one function: what it may have, and what is held ahead for it.
type Levers struct {
	Limits dispatcher.Limits
	Bounds prewarm.Bounds
}

// Config is what may be changed while the scheduler runs.
type Config struct {
	Mode      prewarm.Mode
	Functions map[string]Levers // by name, whatever the account
	Accounts  map[string]dispatcher.AccountLimits
}

// levers are those in force, and how far they were applied.
type levers struct {
	config Config
	seen   int // functions that they were applied to
}

// Apply replaces the configuration in force. A function that is not in it has no bounds any more.
func (s *Scheduler) Apply(c Config) error {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	var errs []error
	errs = append(errs, s.Controller.Change(func(p *prewarm.Planner) error { return p.SetMode(c.Mode) }))
	for name := range s.levers.config.Accounts {
		if _, still := c.Accounts[name]; !still {
			errs = append(errs, s.Shell.Core().SetAccountLimits(name, dispatcher.AccountLimits{}))
		}
	}
	for name, l := range c.Accounts {
		errs = append(errs, s.Shell.Core().SetAccountLimits(name, l))
	}
	old := s.levers.config.Functions
	s.levers.config = Config{Mode: c.Mode, Functions: maps.Clone(c.Functions), Accounts: maps.Clone(c.Accounts)}
	for id := range s.levers.seen {
		info, ok := s.Shell.Core().Function(s.Shell.Now(), dispatcher.FnID(id))
		if !ok {
			continue
		}
		_, had := old[info.Function.Name]
		if l, has := c.Functions[info.Function.Name]; had || has {
			errs = append(errs, s.setLevers(&info, l))
		}
	}
	return errors.Join(errs...)
}

func (s *Scheduler) setLevers(i *dispatcher.FunctionInfo, l Levers) error {
	err := s.Shell.SetLimits(i.Fn, l.Limits)
	return errors.Join(err, s.Controller.Change(func(p *prewarm.Planner) error {
		return p.SetBounds(i.Function.Account, i.Function.Name, l.Bounds)
	}))
}

// newFunctions is how often functions that were called for the first time are looked for.
const newFunctions = 200 * time.Millisecond

// pullLevers applies the levers to functions that appear.
func (s *Scheduler) pullLevers(ctx context.Context) {
	t := time.NewTicker(newFunctions)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.leverMu.Lock()
		for n := s.Shell.Core().Count(); s.levers.seen < n; s.levers.seen++ {
			info, _ := s.Shell.Core().Function(s.Shell.Now(), dispatcher.FnID(s.levers.seen))
			if l, ok := s.levers.config.Functions[info.Function.Name]; ok {
				if err := s.setLevers(&info, l); err != nil {
					s.log.Error("levers were not applied", "function", info.Function.Name, "error", err)
				}
			}
		}
		s.leverMu.Unlock()
	}
}

// Reloaded counts a reload of the configuration, and has certificates and tokens read anew.
func (s *Scheduler) Reloaded(err error) {
	if e := s.Reload(); e != nil {
		s.log.Error("certificates or tokens were not reloaded; the old ones stay in force", "error", e)
	}
	s.outside.Reload(err)
}
