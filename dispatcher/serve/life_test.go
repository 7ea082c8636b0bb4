package serve

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/store"
)

// lives runs one scheduler after another on the same state and the same cluster, in a bubble of fake time.
type lives struct {
	*testing.T
	c       *fakeCluster
	path    string
	options Options
	counts  []uint32 // what the file of leases holds, as a kill leaves it
	found   store.Found
	took    time.Duration // that the last life needed until it was ready
	sum     Recovered
	*life
}

// life is one of them.
type life struct {
	shell   *Shell
	ctx     context.Context
	cancel  context.CancelFunc
	ended   chan struct{}
	state   *store.State
	journal *mortal
}

// mortal is a journal whose last writes, those that have not reached the disk, are lost when the process is killed.
type mortal struct {
	journal
	mu    sync.Mutex
	queue []func()
	dead  bool
}

func (m *mortal) add(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead {
		m.queue = append(m.queue, f)
	}
}

func (m *mortal) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead {
		for _, f := range m.queue {
			f()
		}
	}
	m.queue = nil
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

func (m *mortal) run(ctx context.Context) {
	for pause(ctx, 5*time.Millisecond) == nil {
		m.flush()
	}
}

func (m *mortal) PutNode(n store.NodeRecord) error {
	m.flush()
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return nil
	}
	return m.journal.PutNode(n) // not under the mutex: fake time stands still for whoever waits for one
}

func (m *mortal) NoteNode(n store.NodeRecord)          { m.add(func() { m.journal.NoteNode(n) }) }
func (m *mortal) DropNode(r string)                    { m.add(func() { m.journal.DropNode(r) }) }
func (m *mortal) PutContainer(c store.ContainerRecord) { m.add(func() { m.journal.PutContainer(c) }) }
func (m *mortal) DropContainer(n string)               { m.add(func() { m.journal.DropContainer(n) }) }

// inLives runs a test over several lives; the last is shut down in the end, and nothing may be left.
func inLives(t *testing.T, o Options, test func(l *lives)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		l := &lives{T: t, c: newFake(), path: path, options: o, counts: make([]uint32, 1<<10)}
		l.c.lists, l.c.detached = true, true
		l.begin()
		test(l)
		limit, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if err := l.shell.Shutdown(limit); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		l.end()
		l.c.verify(t)
	})
}

// begin starts a scheduler on what the last one left.
func (l *lives) begin() { l.Helper(); l.beginWith(func() {}) }

// beginWith changes what was found before it is taken over.
func (l *lives) beginWith(change func()) {
	l.Helper()
	state, found, err := store.Open(l.path, store.Options{})
	if err != nil {
		l.Fatal(err)
	}
	l.found = found
	change()
	o := l.options
	o.Driver, o.Core.Leases = l.c, slices.Clone(l.counts)
	b := &life{state: state, journal: &mortal{journal: state}, ended: make(chan struct{})}
	o.Journal = b.journal
	o.Core.NamePrefix = "fw-" + time.Now().Format("150405.000000")
	if b.shell, err = New(o); err != nil {
		l.Fatal(err)
	}
	l.life = b
	b.ctx, b.cancel = context.WithCancel(context.Background())
	go b.journal.run(b.ctx)
	go func() {
		defer close(b.ended)
		_ = b.shell.Run(b.ctx) // returns nil only
	}()
	began := time.Now()
	l.sum = b.shell.Recover(b.ctx, l.found)
	l.took = time.Since(began)
	l.counts = o.Core.Leases
}

// kill ends the scheduler as kill -9 does: nothing is given back, and what was not on the disk is lost.
func (l *lives) kill() {
	l.Helper()
	synctest.Wait()
	l.journal.kill()
	l.counts = slices.Clone(l.counts) // what the dead one does to its own does not count
	l.end()
}

func (l *lives) end() {
	l.Helper()
	l.cancel()
	<-l.ended
	synctest.Wait()
	l.journal.flush()
	if err := l.state.Close(); err != nil {
		l.Error(err)
	}
}

// restart kills and begins anew.
func (l *lives) restart() {
	l.Helper()
	l.kill()
	l.begin()
	if l.took > 2*time.Second {
		l.Errorf("a restart took %v until it was ready, want 2s at most", l.took)
	}
}

func (l *lives) acquire(id, function string) dispatcher.Lease {
	l.Helper()
	r := request(id, function)
	r.Concurrency, r.Function.Timeout = 1, 5*time.Second
	lease, err := l.shell.Acquire(l.Context(), r)
	if err != nil {
		l.Fatalf("Acquire(%s, %s) = %v", id, function, err)
	}
	return lease
}

func (l *lives) giveBack(id string, lease dispatcher.Lease) {
	l.Helper()
	mustReturn(l.T, l.shell, id, lease)
}

// settled lets what was noted reach the disk.
func settled() { time.Sleep(50 * time.Millisecond) }
