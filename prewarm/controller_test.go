package prewarm

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// fakeScheduler hands out one function's news and remembers what it was told, and when.
type fakeScheduler struct {
	start time.Time

	mu     sync.Mutex
	events []dispatcher.Event // not read yet; guarded by mu, as what follows
	seq    uint64
	busy   int
	read   []time.Duration // when the news was read
	said   []saidLevel
	refuse bool
}

type saidLevel struct {
	at   time.Duration
	want int
}

func (s *fakeScheduler) now() time.Duration { return time.Since(s.start) }

func (s *fakeScheduler) tell(kind dispatcher.EventKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, dispatcher.Event{At: s.now(), Kind: kind})
	s.seq++
	s.busy++
	if kind == dispatcher.Left {
		s.busy -= 2
	}
}

func (s *fakeScheduler) News(n *dispatcher.News) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.Functions, n.Nodes = n.Functions[:0], dispatcher.NodeNews{Memory: 3 * cluster.GiB}
	if len(s.events) > 0 {
		half := dispatcher.Times{N: 50, P10: 500 * time.Millisecond, P50: 500 * time.Millisecond, P90: 500 * time.Millisecond, P99: 500 * time.Millisecond}
		n.Functions = append(n.Functions, dispatcher.FunctionNews{Function: &cluster.Function{Account: "acc", Name: "f", Memory: 128 * cluster.MiB},
			Seq: s.seq, Events: s.events, Busy: s.busy, Start: half, ServiceMean: 100 * time.Millisecond})
		s.events = nil
	}
	s.read = append(s.read, s.now())
	return s.now()
}

func (s *fakeScheduler) SetLevel(l dispatcher.Level) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, saidLevel{s.now(), l.Want})
	if s.refuse {
		return errors.New("fake: refused")
	}
	return nil
}

func (s *fakeScheduler) SetNodes(dispatcher.NodeTarget) error {
	if s.refuse {
		return errors.New("fake: refused")
	}
	return nil
}

// readings are the times between readings of the news since a moment.
func (s *fakeScheduler) readings(since time.Duration) (gaps []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.read); i++ {
		if s.read[i-1] >= since {
			gaps = append(gaps, s.read[i]-s.read[i-1])
		}
	}
	return gaps
}

// changes are the levels since a moment, without repetitions.
func (s *fakeScheduler) changes(since time.Duration) (out []saidLevel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := -1
	for _, l := range s.said {
		if l.want != last && l.at >= since {
			out = append(out, l)
		}
		last = l.want
	}
	return out
}

// running runs a controller on fake time and ends it with the test.
func running(t *testing.T, o Options, test func(t *testing.T, s *fakeScheduler, c *Controller, hurry chan<- struct{})) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		s := &fakeScheduler{start: time.Now()}
		hurry := make(chan struct{}, 1)
		c := NewController(p, s, hurry, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		test(t, s, c, hurry)
		before := s.now()
		cancel()
		if err := <-ended; err != nil || s.now() != before {
			t.Errorf("Run = %v, %v after its context ended, want nil at once", err, s.now()-before)
		}
	})
}

// Rounds are short while things move and grow to their longest while nothing does.
func TestRoundsAdapt(t *testing.T) {
	running(t, Options{Kappa: time.Hour}, func(t *testing.T, s *fakeScheduler, _ *Controller, _ chan<- struct{}) {
		time.Sleep(10 * time.Second)
		quiet := s.readings(5 * time.Second)
		s.tell(dispatcher.Arrived)
		time.Sleep(10 * time.Second)
		for _, d := range quiet {
			if d != 800*time.Millisecond {
				t.Errorf("round while nothing moves: %v, want 800ms (all: %v)", d, quiet)
			}
		}
		ms := time.Millisecond
		want := []time.Duration{200 * ms, 300 * ms, 450 * ms, 675 * ms, 800 * ms, 800 * ms}
		got := s.readings(10 * time.Second)
		for i, d := range want {
			if i >= len(got) || got[i] != d {
				t.Fatalf("rounds after an arrival: %v, want %v and so on", got, want)
			}
		}
	})
}

// The controller is back at the very instant at which a level changes by time alone: nothing is late, and a
// function that is called every 20 s is dropped after its call and held again ahead of the next.
func TestDueInstantsAreHit(t *testing.T) {
	const period, service, calls = 20 * time.Second, 100 * time.Millisecond, 30
	running(t, Options{Kappa: 10 * time.Second}, func(t *testing.T, s *fakeScheduler, c *Controller, hurry chan<- struct{}) {
		late := func() {
			if l := c.Last(); l.Late != 0 {
				t.Errorf("round %d at %v began %v late", l.Rounds, l.At, l.Late)
			}
		}
		for range calls {
			s.tell(dispatcher.Arrived)
			time.Sleep(service)
			s.tell(dispatcher.Left)
			for next := s.now() + period - service; s.now() < next; {
				time.Sleep(min(50*time.Millisecond, next-s.now()))
				late()
			}
		}
		// After the last call at (calls-1)*period, another one is expected at calls*period. What is it told until then?
		last := (calls - 1) * period
		got := s.changes(last + time.Second)
		if len(got) == 0 || got[len(got)-1].want != 1 {
			t.Fatalf("levels after the call at %v: %v, want the container again before %v", last, got, last+period)
		}
		again := got[len(got)-1].at
		if lead := last + period - again; lead < 500*time.Millisecond || lead > 3*time.Second {
			t.Errorf("held again at %v, %v ahead of the next call, want at least the start's 500ms and at most 3s", again, lead)
		}
		if len(got) > 1 && got[0].want != 0 {
			t.Errorf("levels after the call at %v: %v, want it dropped first", last, got)
		}
		held := 0
		for _, at := range s.read {
			if at == again {
				held++
			}
		}
		if held != 1 {
			t.Errorf("%d readings at the instant %v at which the level changes, want 1", held, again)
		}
	})
}

// Without a law of its own a function is held for kappa and a start after its last use, to the nanosecond.
func TestUnknownFunctionIsDroppedOnTime(t *testing.T) {
	const kappa, service, start = 7 * time.Second, 2 * time.Second, 500 * time.Millisecond
	for _, offset := range []time.Duration{0, 777, 123_456_789} {
		running(t, Options{Kappa: kappa}, func(t *testing.T, s *fakeScheduler, c *Controller, _ chan<- struct{}) {
			time.Sleep(offset)
			s.tell(dispatcher.Arrived)
			time.Sleep(service)
			s.tell(dispatcher.Left)
			time.Sleep(2 * time.Minute)
			due := offset + service + kappa + start
			if got := s.changes(0); len(got) != 2 || got[0].want != 1 || got[1] != (saidLevel{due, 0}) {
				t.Errorf("levels of one call at %v: %v, want 1 and then 0 at %v", offset, got, due)
			}
			if l := c.Last(); l.Rounds == 0 || l.Late != 0 || l.At != s.read[len(s.read)-1] || l.Took != 0 {
				t.Errorf("Last = %+v, want the last reading's time %v and nothing late", l, s.read[len(s.read)-1])
			}
		})
	}
}

func TestHurryWakesEarly(t *testing.T) {
	running(t, Options{}, func(t *testing.T, s *fakeScheduler, _ *Controller, hurry chan<- struct{}) {
		time.Sleep(10 * time.Second) // rounds are long by now
		at := s.now() + 10*time.Millisecond
		time.Sleep(10 * time.Millisecond)
		s.tell(dispatcher.Arrived)
		hurry <- struct{}{}
		synctest.Wait()
		if last := s.read[len(s.read)-1]; last != at {
			t.Errorf("news was last read at %v, want %v, when it was hurried", last, at)
		}
		if got := s.changes(at); len(got) != 1 || got[0].at != at || got[0].want != 1 {
			t.Errorf("levels said from %v on: %v, want one of 1 at once", at, got)
		}
	})
}

// A dispatcher that refuses is complained of, not given up.
func TestRefusalsDoNotStopTheRounds(t *testing.T) {
	running(t, Options{}, func(t *testing.T, s *fakeScheduler, c *Controller, _ chan<- struct{}) {
		s.mu.Lock()
		s.refuse = true
		s.mu.Unlock()
		s.tell(dispatcher.Arrived)
		time.Sleep(5 * time.Second)
		before := c.Last().Rounds
		time.Sleep(5 * time.Second)
		if after := c.Last().Rounds; after <= before {
			t.Errorf("rounds stand still at %d after a refusal", after)
		}
		seen := false
		c.View(func(p *Planner) {
			p.Forecasts(s.now(), func(f Forecast) bool { seen = seen || f.Name == "f"; return true })
		})
		if !seen {
			t.Error("View shows a planner that does not know the function")
		}
	})
}
