package prewarm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forewarm/forewarm/forecast/gap"
)

// slowBook looks at every millisecond and at every container.
type slowBook struct {
	now   int
	boxes []int // when each is ready, ms
	Book
}

func (s *slowBook) to(at, busy int) {
	for ; s.now < at; s.now++ {
		if idle := s.readyAt(s.now) - busy; idle > 0 {
			s.Idle += time.Duration(idle) * time.Millisecond
		}
	}
}

func (s *slowBook) readyAt(at int) (n int) {
	for _, r := range s.boxes {
		if r <= at {
			n++
		}
	}
	return n
}

func (s *slowBook) start(lead int) { s.Starts++; s.boxes = append(s.boxes, s.now+lead) }

func TestBookAgainstMilliseconds(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		p := &price{Price: gap.Price{Kappa: 3 * time.Second, Start: 40 * time.Millisecond}}
		var b book
		var s slowBook
		busy, at := 0, 0
		for step := range 2000 {
			at += rng.IntN(30)
			now := time.Duration(at) * time.Millisecond
			s.to(at, busy)
			switch k := rng.IntN(5); {
			case k < 2:
				b.need(now, busy, p)
				if busy < s.readyAt(at) {
					s.Met++
				} else {
					s.Missed++
					if busy >= len(s.boxes) {
						s.start(40)
					}
				}
				busy++
			case k < 4 && busy > 0:
				b.pass(now, busy)
				busy--
			default:
				want := max(busy, rng.IntN(6))
				b.want(now, busy, want, p)
				for len(s.boxes) < want {
					s.start(40)
					s.Ahead++
				}
				// what starts and no call waits for goes first, the latest of it
				for len(s.boxes) > want {
					last := len(s.boxes) - 1
					if s.readyAt(at) >= len(s.boxes) || s.readyAt(at) < busy && len(s.boxes)-s.readyAt(at) <= busy-s.readyAt(at) {
						s.boxes = s.boxes[1:] // all are ready: any
						continue
					}
					s.boxes = s.boxes[:last]
				}
			}
			s.Cost = s.Idle.Seconds() + float64(s.Starts)*p.Start.Seconds() + float64(s.Missed)*p.Kappa.Seconds()
			if got, want := brief(&b.Book), brief(&s.Book); got != want || b.held != len(s.boxes) {
				t.Fatalf("seed %d, step %d at %v: the book says %s and holds %d, want %s and %d", seed, step, now, got, b.held, want, len(s.boxes))
			}
		}
	}
}

func brief(b *Book) string {
	return fmt.Sprint(b.Idle, b.Ahead, b.Starts, b.Met, b.Missed, math.Round(b.Cost*1000))
}
