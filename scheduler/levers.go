package scheduler

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/forewarm/forewarm/console"
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

// target names a function.
type target struct{ account, function string }

// levers are those in force: what the configuration said last, and what calls of forewarm.v1 changed since.
type levers struct {
	config    Config
	applied   bool // config was given at least once
	mode      bool // the mode was changed by a call
	functions map[target]Levers
	accounts  map[string]dispatcher.AccountLimits
	seen      int // functions that they were applied to
}

// of gives what holds for a function.
func (l *levers) of(k target) Levers {
	if changed, ok := l.functions[k]; ok {
		return changed
	}
	return l.config.Functions[k.function]
}

func (l *levers) ofAccount(name string) dispatcher.AccountLimits {
	if changed, ok := l.accounts[name]; ok {
		return changed
	}
	return l.config.Accounts[name]
}

// Apply replaces the configuration in force. A function that is not in it has no bounds any more.
//
// The last word wins, for each function, each account and the mode by itself: where a call of forewarm.v1 changed
// something, that stays until the configuration says something else about it than it did before. The audit log says
// what was replaced so.
func (s *Scheduler) Apply(c Config) error {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	old, first := s.levers.config, !s.levers.applied
	s.levers.config = Config{Mode: c.Mode, Functions: maps.Clone(c.Functions), Accounts: maps.Clone(c.Accounts)}
	s.levers.applied = true
	var errs []error
	if first || c.Mode != old.Mode {
		errs = append(errs, s.applyMode(c.Mode))
	}
	for name := range union(old.Accounts, c.Accounts) {
		if first || old.Accounts[name] != c.Accounts[name] {
			errs = append(errs, s.applyAccount(name))
		}
	}
	changed := map[string]bool{}
	for name := range union(old.Functions, c.Functions) {
		changed[name] = !reflect.DeepEqual(old.Functions[name], c.Functions[name])
	}
	return errors.Join(append(errs, s.applyFunctions(changed))...)
}

func union[V any](a, b map[string]V) map[string]struct{} {
	all := map[string]struct{}{}
	for name := range a {
		all[name] = struct{}{}
	}
	for name := range b {
		all[name] = struct{}{}
	}
	return all
}

func (s *Scheduler) applyMode(m prewarm.Mode) error {
	if s.levers.mode {
		s.replaced("mode", s.Mode().String(), m.String())
	}
	s.levers.mode = false
	return s.Controller.Change(func(p *prewarm.Planner) error { return p.SetMode(m) })
}

func (s *Scheduler) applyAccount(name string) error {
	l := s.levers.config.Accounts[name]
	if was, ok := s.levers.accounts[name]; ok {
		s.replaced(console.AccountWords(name), console.LimitsWords(was), console.LimitsWords(l))
		delete(s.levers.accounts, name)
	}
	return s.Shell.Core().SetAccountLimits(name, l)
}

// applyFunctions sets the levers of those that changed, in every account that has them.
func (s *Scheduler) applyFunctions(changed map[string]bool) error {
	for k, was := range s.levers.functions {
		if changed[k.function] {
			l := s.levers.config.Functions[k.function]
			s.replaced(console.FunctionWords(k.account, k.function), console.LeversWords(was.Limits, was.Bounds), console.LeversWords(l.Limits, l.Bounds))
			delete(s.levers.functions, k)
		}
	}
	var errs []error
	for id := range s.levers.seen {
		info, ok := s.Shell.Core().Function(s.Shell.Now(), dispatcher.FnID(id))
		if k := (target{info.Function.Account, info.Function.Name}); ok && changed[k.function] {
			errs = append(errs, s.setLevers(k, &info.Fn, s.levers.of(k)))
		}
	}
	return errors.Join(errs...)
}

// setLevers brings a function's into force; fn is nil while it was never called. The planner's come first, who knows
// more that can be wrong with them.
func (s *Scheduler) setLevers(k target, fn *dispatcher.FnID, l Levers) error {
	err := s.Controller.Change(func(p *prewarm.Planner) error { return p.SetBounds(k.account, k.function, l.Bounds) })
	if err != nil || fn == nil {
		return err
	}
	return s.Shell.SetLimits(*fn, l.Limits)
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
			k := target{info.Function.Account, info.Function.Name}
			if l := s.levers.of(k); !reflect.DeepEqual(l, Levers{}) {
				if err := s.setLevers(k, &info.Fn, l); err != nil {
					s.log.Error("levers were not applied", "function", info.Function.Name, "error", err)
				}
			}
		}
		s.leverMu.Unlock()
	}
}

// reload stands in the audit log for whoever wrote the configuration.
type reload string

func (reload) Network() string  { return "file" }
func (r reload) String() string { return string(r) }

func reloading() context.Context {
	return peer.NewContext(context.Background(), &peer.Peer{Addr: reload("a reload of the configuration")})
}

// replaced notes that the configuration undoes what a call had changed.
func (s *Scheduler) replaced(what, before, after string) {
	s.audit.Begin(reloading(), what, before, after)(nil)
}

// Reloaded counts a reload of the configuration with what it changed, and has certificates and tokens read anew.
func (s *Scheduler) Reloaded(changes string, err error) {
	if err != nil || changes != "" {
		s.audit.Begin(reloading(), "configuration", "", changes)(err)
	}
	if e := s.Reload(); e != nil {
		s.log.Error("certificates or tokens were not reloaded; the old ones stay in force", "error", e)
	}
	s.outside.Reload(err)
}
