package main

import (
	"context"
	"log/slog"
	"maps"
	"sync/atomic"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/config"
	"github.com/forewarm/forewarm/scheduler"
)

// sharings is how many requests one container of a function may hold, where catalogs that came while the scheduler
// ran say so; else it is as at the start. Calls read it, a new catalog replaces it.
type sharings struct {
	first func(account, function string) int // at the start
	cfg   *config.Config                     // goes before any catalog
	later atomic.Pointer[map[string]int]
	names map[string]bool // of the last catalog; of set alone
}

func (s *sharings) of(account, function string) int {
	if m := s.later.Load(); m != nil {
		if n, ok := (*m)[function]; ok {
			return n
		}
	}
	return s.first(account, function)
}

// set goes by a further catalog. A removed function keeps its number: calls that were let in before may still wait.
func (s *sharings) set(c *catalog.Catalog) (gone []string) {
	m := map[string]int{}
	if old := s.later.Load(); old != nil {
		m = maps.Clone(*old)
	}
	names := map[string]bool{}
	for _, f := range c.Functions {
		names[f.Name] = true
		if s.cfg.Functions[f.Name].Concurrency == 0 {
			m[f.Name] = f.Concurrency
		}
	}
	for name := range s.names {
		if !names[name] {
			gone = append(gone, name)
		}
	}
	s.names = names
	s.later.Store(&m)
	return gone
}

// followCatalog keeps a scheduler up to date with its list of functions.
func followCatalog(ctx context.Context, cfg *config.Config, shared *sharings, s *scheduler.Scheduler, log *slog.Logger) {
	if cfg.Catalog == "" {
		return
	}
	if c, err := load(cfg.Catalog); err == nil { // it was just read, to start with
		shared.set(c)
	}
	follow(ctx, cfg.Catalog, log, func(c *catalog.Catalog) error {
		s.SetRemoved(shared.set(c), c.Names())
		return nil
	})
}
