package serve

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// tracer writes down all that happens to one function: each call from its arrival to its return, each order, each word
// of a planner. It costs what logging costs, for that function; the others pay for one comparison of names.
type tracer struct {
	function string
	log      *slog.Logger

	mu     sync.Mutex
	leases map[leaseID]time.Time // guarded by mu; when they were handed out
}

type leaseID struct{ request, container string }

// maxTraced bounds the leases that are waited for: those that are never returned would add up.
const maxTraced = 10_000

// Trace follows one function in Options.TraceLog from now on, in place of the one before; "" follows none.
func (s *Shell) Trace(function string) {
	if function == "" {
		s.trace.Store(nil)
		return
	}
	if t := s.trace.Load(); t == nil || t.function != function {
		s.trace.Store(&tracer{function: function, log: s.opts.TraceLog.With("function", function), leases: map[leaseID]time.Time{}})
	}
}

// acquire is Shell.Acquire with a line before and one after it.
func (t *tracer) acquire(ctx context.Context, s *Shell, r dispatcher.Request) (dispatcher.Lease, error) {
	t.log.Debug("call arrived", "request", r.ID, "account", r.Function.Account, "memory", r.Function.Memory)
	began := time.Now()
	lease, err := s.acquire(ctx, r)
	if err != nil {
		t.log.Debug("call was not served", "request", r.ID, "wait", time.Since(began), "error", err)
		return lease, err
	}
	t.mu.Lock()
	if len(t.leases) < maxTraced {
		t.leases[leaseID{r.ID, lease.ContainerID}] = time.Now()
	}
	t.mu.Unlock()
	t.log.Debug("call has a container", "request", r.ID, "served", lease.Served.String(), "wait", lease.Wait, "container", lease.ContainerID, "node", lease.Node.ID)
	return lease, nil
}

// returned tells of the end of a lease, if it was handed out while the function was traced.
func (t *tracer) returned(r dispatcher.Returned, err error) {
	id := leaseID{r.RequestID, r.ContainerID}
	t.mu.Lock()
	since, ours := t.leases[id]
	delete(t.leases, id)
	t.mu.Unlock()
	if !ours {
		return
	}
	attrs := []any{"request", r.RequestID, "container", r.ContainerID, "held", time.Since(since), "ran", r.Duration, "failed", r.Failed, "memory", r.MaxMemory}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	t.log.Debug("call returned its container", attrs...)
}

func (t *tracer) order(o *dispatcher.Order) {
	if o.Function == nil || o.Function.Name != t.function {
		return
	}
	attrs := []any{"order", o.Kind.String(), "container", o.ContainerID, "name", o.Spec.Name}
	if o.Node != nil {
		attrs = append(attrs, "node", o.Node.ID)
	}
	t.log.Debug("order given", append(attrs, why(&o.Why)...)...)
}

func (t *tracer) level(s *Shell, l *dispatcher.Level) {
	if i, ok := s.core.Function(s.Now(), l.Fn); ok && i.Function.Name == t.function {
		t.log.Debug("planner spoke", append([]any{"levels", l.Want, "before", i.Want, "worth", l.Worth}, why(&l.Why)...)...)
	}
}

// why gives the numbers of a reason that say something.
func why(r *dispatcher.Reason) []any {
	return []any{"cause", r.Cause.String(), "model", r.Model.String(), "clip", r.Clip.String(), "waiting", r.Waiting, "leased", r.Leased, "ready", r.Ready,
		"starting", r.Starting, "want", r.Want, "level", r.Level, "gaps", r.Gaps, "idle", r.Idle, "expected_in", r.Expect, "probability", r.Prob,
		"hold", r.Hold, "drop", r.Drop, "kappa", r.Kappa}
}
