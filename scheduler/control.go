package scheduler

import (
	"cmp"
	"maps"
	"slices"

	"github.com/forewarm/forewarm/config"
	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// control is what forewarm.v1's Control changes of a Scheduler. What it changes lasts until the configuration says
// otherwise, or the scheduler ends; see Apply.
type control struct{ *Scheduler }

// Mode is the present mode.
func (s *Scheduler) Mode() (m prewarm.Mode) {
	s.Controller.View(func(p *prewarm.Planner) { m = p.Mode() })
	return m
}

// SetMode changes it.
func (s control) SetMode(m prewarm.Mode) error {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	s.levers.mode = m != s.levers.config.Mode
	return s.Controller.Change(func(p *prewarm.Planner) error { return p.SetMode(m) })
}

// ChangeFunction has change turn what holds for a function into what is to hold.
func (s control) ChangeFunction(account, function string, change func(*dispatcher.Limits, *prewarm.Bounds) error) error {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	k := target{account, function}
	l := s.levers.of(k)
	if err := change(&l.Limits, &l.Bounds); err != nil {
		return err
	}
	if err := s.setLevers(k, s.find(k), l); err != nil {
		return err
	}
	s.levers.functions[k] = l
	return nil
}

// find gives a function's number; nil while it was never called.
func (s *Scheduler) find(k target) (fn *dispatcher.FnID) {
	s.Shell.Core().Functions(s.Shell.Now(), func(i *dispatcher.FunctionInfo) bool {
		if i.Function.Account == k.account && i.Function.Name == k.function {
			fn = &i.Fn
			return false
		}
		return true
	})
	if fn != nil {
		id := *fn // the info is used again
		fn = &id
	}
	return fn
}

// ChangeAccount has change turn what holds for an account into what is to hold.
func (s control) ChangeAccount(account string, change func(*dispatcher.AccountLimits) error) error {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	l := s.levers.ofAccount(account)
	if err := change(&l); err != nil {
		return err
	}
	if err := s.Shell.Core().SetAccountLimits(account, l); err != nil {
		return err
	}
	s.levers.accounts[account] = l
	return nil
}

// DrainNode takes a node out of use, or with undo into it again.
func (s control) DrainNode(n dispatcher.NodeID, undo bool) (containers int, err error) {
	return s.Shell.DrainNode(n, undo)
}

// Named lists the functions and accounts that the configuration names, whether they were called or not.
func (s control) Named() (functions, accounts []string) {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	return slices.Sorted(maps.Keys(s.levers.config.Functions)), slices.Sorted(maps.Keys(s.levers.config.Accounts))
}

// Bounds are those that hold for a function.
func (s control) Bounds(account, function string) prewarm.Bounds {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	return s.levers.of(target{account, function}).Bounds
}

// Configured tells which configuration is in force, for those who ask for it, and which function is to be traced.
func (s *Scheduler) Configured(c *config.Config) {
	s.configured.Store(c)
	s.Shell.Trace(c.Log.DebugFunction)
}

// byCall is the origin of what was not configured, but changed by a call of forewarm.v1.
const byCall = "changed while running"

// Settings lists the configuration with its origins, and then what was changed by calls since.
func (s control) Settings() (out []console.Setting) {
	s.leverMu.Lock()
	defer s.leverMu.Unlock()
	if c := s.configured.Load(); c != nil {
		for _, i := range c.Items() {
			out = append(out, console.Setting{Name: i.Name, Value: i.Value, Origin: i.Origin.String(), Live: i.Live})
		}
	}
	if s.levers.mode {
		i := slices.IndexFunc(out, func(x console.Setting) bool { return x.Name == "planner.mode" })
		if i < 0 {
			i, out = len(out), append(out, console.Setting{Name: "planner.mode", Live: true})
		}
		out[i].Value, out[i].Origin = s.Mode().String(), byCall
	}
	for _, k := range slices.SortedFunc(maps.Keys(s.levers.functions), compare) {
		l := s.levers.functions[k]
		out = append(out, console.Setting{Name: console.FunctionWords(k.account, k.function), Value: console.LeversWords(l.Limits, l.Bounds), Origin: byCall, Live: true})
	}
	for _, name := range slices.Sorted(maps.Keys(s.levers.accounts)) {
		out = append(out, console.Setting{Name: console.AccountWords(name), Value: console.LimitsWords(s.levers.accounts[name]), Origin: byCall, Live: true})
	}
	return out
}

func compare(a, b target) int {
	return cmp.Or(cmp.Compare(a.function, b.function), cmp.Compare(a.account, b.account))
}

// Money tells whether costs are in the money of prices, and not in container-seconds.
func (s control) Money() bool { return s.opts.Planner.Prices != prewarm.Prices{} }
