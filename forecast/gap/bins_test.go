package gap

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestEdges(t *testing.T) {
	if edges[0] != 0 || edges[1] != firstEdge || edges[bins] != lastEdge {
		t.Fatalf("edges are %v", edges)
	}
	for i := 1; i < bins; i++ {
		if r := float64(edges[i+1]) / float64(edges[i]); math.Abs(r-1.506) > .001 {
			t.Errorf("edge %d is %.4f times the one before, want 1.506", i+1, r)
		}
	}
}

func TestBinOf(t *testing.T) {
	slow := func(gap time.Duration) int {
		for i := range bins {
			if gap < edges[i+1] {
				return i
			}
		}
		return bins
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		gap := seconds(math.Exp(r.Float64()*20 - 8))
		if i <= bins {
			gap = edges[i]
		}
		if got, want := binOf(gap), slow(gap); got != want {
			t.Fatalf("binOf(%v) = %d, want %d", gap, got, want)
		}
	}
}

func TestPriorSurvivalHasHazardOneOverIdleTime(t *testing.T) {
	for _, x := range []float64{.06, 1, 60, 5000} {
		const dx = 1e-6
		hazard := (1 - priorSurvival(x*(1+dx))/priorSurvival(x)) / (x * dx)
		if math.Abs(hazard*x-1) > 1e-4 {
			t.Errorf("hazard at %v s is %v, want %v", x, hazard, 1/x)
		}
	}
}
