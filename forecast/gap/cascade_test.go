package gap

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// slowCascade looks at the whole list of needs.
func slowCascade(at, gaps []time.Duration, start time.Duration) float64 {
	u := 1.0
	for i := 0; i < len(at); {
		if gaps[i] <= 2*start {
			i++
			continue
		}
		last := i
		for last+1 < len(at) && at[last+1] <= at[i]+start {
			last++
		}
		if last+1 == len(at) {
			break // the window is not over yet
		}
		u += .1 * (float64(last-i+1) - u)
		i = last + 1
	}
	return u
}

func TestCascadeMatchesTheWholeListOfNeeds(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	for range 500 {
		start := seconds(.2 + 2*r.Float64())
		var c Cascade
		var at, gaps []time.Duration
		now := time.Duration(0)
		for range r.IntN(200) {
			gap := seconds(.05 * r.ExpFloat64())
			if r.IntN(6) == 0 {
				gap = seconds(10 * r.ExpFloat64())
			}
			now += gap + seconds(.1*r.Float64())
			at, gaps = append(at, now), append(gaps, gap)
			c.Need(now, gap, start)
		}
		if got, want := c.Calls(), slowCascade(at, gaps, start); math.Abs(got-want) > 1e-4*want {
			t.Fatalf("Calls after %d needs = %v, want %v", len(at), got, want)
		}
	}
}

func TestCascade(t *testing.T) {
	burst := func(n int) float64 {
		var c Cascade
		for i := range 1000 {
			at := time.Duration(i) * time.Minute
			c.Need(at, time.Minute, time.Second)
			for j := 1; j < n; j++ {
				c.Need(at+time.Duration(j)*100*time.Millisecond, 50*time.Millisecond, time.Second)
			}
		}
		return c.Calls()
	}
	for n := 1; n <= 8; n++ {
		if got := burst(n); math.Abs(got-float64(n)) > 1e-3 {
			t.Errorf("one call after another, %d of them: Calls = %v", n, got)
		}
	}
	if got := new(Cascade).Calls(); got != 1 {
		t.Errorf("Calls of nothing seen = %v, want 1", got)
	}
}
