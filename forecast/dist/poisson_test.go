package dist

import (
	"math"
	"testing"
)

func TestPoissonIsItsDirectSum(t *testing.T) {
	for _, mean := range []float64{1e-9, 0.01, 0.7, 5, 30, 300} {
		p := Poisson{mean}
		prob, cdf := math.Exp(-mean), 0.0
		for k := range 600 {
			if got := p.Tail(k); math.Abs(got-(1-cdf)) > 1e-12 {
				t.Fatalf("%+v.Tail(%d) = %v, want %v", p, k, got, 1-cdf)
			}
			cdf += prob
			if got := p.CDF(k); math.Abs(got-cdf) > 1e-12 {
				t.Fatalf("%+v.CDF(%d) = %v, want %v", p, k, got, cdf)
			}
			if prob > 1e-280 {
				if got := p.LogProb(k); math.Abs(got-math.Log(prob)) > 1e-11*(1+math.Abs(got)) {
					t.Fatalf("%+v.LogProb(%d) = %v, want %v", p, k, got, math.Log(prob))
				}
			}
			prob *= mean / float64(k+1)
		}
	}
}

// The quantile is defined by the CDF on either side of it.
func TestQuantileIsTheFirst(t *testing.T) {
	type law interface {
		CDF(k int) float64
		Quantile(q float64) int
	}
	for _, l := range []law{
		Poisson{0.003}, Poisson{4.2}, Poisson{1e4}, Poisson{1e9}, Poisson{1e14},
		NegBin{0.003, 0.5}, NegBin{4.2, 0.02}, NegBin{4.2, 70}, NegBin{1e4, 0.3}, NegBin{1e5, 1e6}, NegBin{1e10, 3},
	} {
		for _, q := range []float64{1e-9, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9} {
			k := l.Quantile(q)
			if l.CDF(k) < q*(1-1e-12) || k > 0 && l.CDF(k-1) > q*(1+1e-12) {
				t.Errorf("%+v.Quantile(%v) = %d, where the CDF is %v after %v", l, q, k, l.CDF(k), l.CDF(k-1))
			}
		}
		for _, tt := range []struct {
			q    float64
			want int
		}{{0, 0}, {-1, 0}, {math.NaN(), 0}, {1, MaxCount}, {2, MaxCount}} {
			if got := l.Quantile(tt.q); got != tt.want {
				t.Errorf("%+v.Quantile(%v) = %d, want %d", l, tt.q, got, tt.want)
			}
		}
	}
}

// Going from a count to its probability and back must not slip to the next count.
func TestQuantileInvertsCDF(t *testing.T) {
	for _, mean := range []float64{0.7, 5, 30} {
		for k := range 1 + int(2*mean) { // further out, the CDF is 1 to the last digit
			if p := (Poisson{mean}); p.Quantile(p.CDF(k)) != k {
				t.Errorf("%+v.Quantile(CDF(%d)) = %d", p, k, p.Quantile(p.CDF(k)))
			}
			q := Poisson{mean}.CDF(k) * (1 + 4*0x1p-52) // what rounding elsewhere may add
			if got := (Poisson{mean}).Quantile(q); got != k {
				t.Errorf("Poisson(%v).Quantile(a rounding error above CDF(%d)) = %d", mean, k, got)
			}
		}
	}
}

func TestLeast(t *testing.T) {
	for _, want := range []int{0, 1, 2, 63, 1000, 1 << 40, MaxCount - 1, MaxCount} {
		for _, guess := range []int{-5, 0, 1, 990, 1 << 40, math.MaxInt} {
			for _, step := range []int{-1, 1, 7, 1 << 30} {
				calls := 0
				got := Least(guess, step, func(k int) bool { calls++; return k >= want })
				if got != want || calls > 130 {
					t.Errorf("Least(%d, %d) = %d after %d calls, want %d", guess, step, got, calls, want)
				}
			}
		}
	}
	if got := Least(3, 1, func(int) bool { return false }); got != MaxCount {
		t.Errorf("Least of nothing = %d, want MaxCount", got)
	}
}

func TestNoAllocations(t *testing.T) {
	n := NegBin{Mean: 300, Shape: 7}
	if a := testing.AllocsPerRun(100, func() { n.Quantile(0.99); n.LogProb(3) }); a != 0 {
		t.Errorf("Quantile and LogProb: %v allocations, want 0", a)
	}
}

func BenchmarkNegBin(b *testing.B) {
	n := NegBin{Mean: 300, Shape: 7}
	b.Run("Tail", func(b *testing.B) {
		for b.Loop() {
			n.Tail(500)
		}
	})
	b.Run("Quantile", func(b *testing.B) {
		for b.Loop() {
			n.Quantile(0.99)
		}
	})
}
