package scheduler

import (
	"slices"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// SetRemoved tells of functions that can be called no more, and of all that can: for those that are gone nothing is
// held ahead, whatever was forecast or configured, and for those that are back it is as configured. Calls that are
// still under way are served.
func (s *Scheduler) SetRemoved(gone, there []string) {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	for id := range s.Shell.Core().Count() {
		info, ok := s.Shell.Core().Function(s.Shell.Now(), dispatcher.FnID(id))
		name := info.Function.Name
		bounds := s.levers.of(target{info.Function.Account, name}).Bounds
		switch {
		case !ok:
			continue
		case slices.Contains(gone, name):
			bounds = prewarm.Bounds{Paused: true}
		case !slices.Contains(there, name):
			continue // gone before, or never in any list
		}
		if err := s.Controller.Change(func(p *prewarm.Planner) error {
			return p.SetBounds(info.Function.Account, name, bounds)
		}); err != nil {
			s.log.Error("bounds were not set for a list of functions that changed", "function", name, "error", err)
		}
	}
}
