package dist

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mathext"
)

// slowNegBin is the law of n, term by term from P(X=0) up: P(0..last).
func slowNegBin(n NegBin, last int) []float64 {
	p := make([]float64, last+1)
	q := n.Mean / (n.Shape + n.Mean)
	p[0] = math.Exp(-n.Shape * math.Log1p(n.Mean/n.Shape))
	for k := range last {
		p[k+1] = p[k] * q * (n.Shape + float64(k)) / float64(k+1)
	}
	return p
}

func TestNegBinIsItsDirectSum(t *testing.T) {
	for _, shape := range []float64{0.02, 0.3, 1, 2.5, 30, 1000, 1e6} {
		for _, mean := range []float64{0.001, 0.4, 3, 60, 400} {
			n := NegBin{Mean: mean, Shape: shape}
			const last = 1500
			p := slowNegBin(n, last)
			var cdf float64
			for k := range last {
				tail := 1 - cdf
				if got := n.Tail(k); math.Abs(got-tail) > 1e-11 {
					t.Fatalf("%+v.Tail(%d) = %v, want %v", n, k, got, tail)
				}
				cdf += p[k]
				if got := n.CDF(k); math.Abs(got-cdf) > 1e-11 {
					t.Fatalf("%+v.CDF(%d) = %v, want %v", n, k, got, cdf)
				}
				if p[k] > 1e-280 {
					if got := n.LogProb(k); math.Abs(got-math.Log(p[k])) > 1e-10*(1+math.Abs(got)) {
						t.Fatalf("%+v.LogProb(%d) = %v, want %v", n, k, got, math.Log(p[k]))
					}
				}
			}
		}
	}
}

// Far in the tail 1 - CDF has no digits left; the sum of what is beyond still has.
func TestNegBinFarTail(t *testing.T) {
	for _, n := range []NegBin{{2, 0.5}, {5, 3}, {40, 1000}} {
		p := slowNegBin(n, 4000)
		for _, k := range []int{50, 120, 200} {
			var want float64
			for i := len(p) - 1; i >= k; i-- {
				want += p[i]
			}
			if got := n.Tail(k); math.Abs(got-want) > 1e-11*want {
				t.Errorf("%+v.Tail(%d) = %v, want %v", n, k, got, want)
			}
		}
	}
}

// gonum's function is sound for moderate parameters, and there the two must agree.
func TestRegIncBetaIsThatOfGonum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		a, b := math.Exp(8*rng.Float64()-2), math.Exp(8*rng.Float64()-2)
		x := rng.Float64()
		got, want := regIncBeta(a, b, x, 1-x), mathext.RegIncBeta(a, b, x)
		if math.Abs(got-want) > 1e-11 {
			t.Errorf("regIncBeta(%v, %v, %v) = %v, want %v", a, b, x, got, want)
		}
	}
}

// Values by mpmath 1.3 with 40 digits (betainc, regularized), where gonum's
// function is up to 1e-4 off.
func TestNegBinTailAtHardPlaces(t *testing.T) {
	for _, tt := range []struct {
		shape, mean float64
		k           int
		want        float64
	}{
		{0.02, 200, 200, 0.065236105321393383},
		{0.02, 10000, 10000, 0.065191153629929498},
		{0.02, 1000, 60000, 0.003241714299730843},
		{100000, 10000, 9685, 0.99875166080896095},
		{100000, 10000, 10314, 0.0014688500435890475},
		{7200000, 100, 131, 0.0017069602172537443},
		{7200000, 1000000, 1003000, 0.0024825899296197261},
		{0.5, 10000, 94854, 0.0020714304680583469},
		{1000000000, 3000000, 3005000, 0.0019793319932888677},
	} {
		n := NegBin{Mean: tt.mean, Shape: tt.shape}
		if got := n.Tail(tt.k); math.Abs(got-tt.want) > 1e-10*tt.want {
			t.Errorf("%+v.Tail(%d) = %v, want %v", n, tt.k, got, tt.want)
		}
	}
}

func TestNegBinBecomesPoisson(t *testing.T) {
	for _, shape := range []float64{0, math.Inf(1), 1e13} {
		n, p := NegBin{Mean: 7, Shape: shape}, Poisson{7}
		for k := -1; k < 40; k++ {
			for _, v := range [][2]float64{{n.CDF(k), p.CDF(k)}, {n.Tail(k), p.Tail(k)}, {math.Exp(n.LogProb(k)), math.Exp(p.LogProb(k))}} {
				if math.Abs(v[0]-v[1]) > 1e-11 {
					t.Errorf("shape %v, k %d: %v, want the Poisson's %v", shape, k, v[0], v[1])
				}
			}
		}
	}
}

// At exactLimit the exact tail and its stand-in must be as close as promised.
func TestNegBinStandIn(t *testing.T) {
	for _, shape := range []float64{0.5, 20, 1e4, 1e7, 1e9} {
		n := NegBin{Mean: exactLimit / 3, Shape: shape}
		dev := math.Sqrt(n.Mean + n.Mean*n.Mean/shape)
		for _, z := range []float64{-2, 0, 1, 3} {
			k := int(n.Mean + z*dev)
			if k < 1 || float64(k)+n.Mean > exactLimit {
				continue
			}
			exact, standIn := n.Tail(k), mathext.GammaIncRegComp(n.gamma(float64(k)))
			if math.Abs(standIn-exact) > 0.01*exact {
				t.Errorf("%+v.Tail(%d) = %v, stand-in %v", n, k, exact, standIn)
			}
		}
	}
}

func TestDegenerate(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"no mean, no count", NegBin{0, 2}.CDF(0), 1},
		{"no mean, a count", NegBin{0, 2}.Tail(1), 0},
		{"no mean, probability of a count", NegBin{0, 2}.LogProb(3), math.Inf(-1)},
		{"negative count", NegBin{3, 2}.CDF(-1), 0},
		{"negative count, probability", NegBin{3, 2}.LogProb(-1), math.Inf(-1)},
		{"a shape that says nothing", NegBin{3, 1e-305}.Tail(1), 0},
		{"a mean beyond counting", NegBin{1e30, 2}.Tail(MaxCount), 1},
		{"Poisson without mean", Poisson{0}.CDF(0), 1},
		{"Poisson without mean, a count", Poisson{0}.Tail(1), 0},
		{"Poisson negative count", Poisson{2}.CDF(-1), 0},
		{"Poisson negative count, probability", Poisson{2}.LogProb(-1), math.Inf(-1)},
		{"Poisson of no count", Poisson{2}.LogProb(0), -2},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func ExampleNegBin() {
	// 20 calls expected, but the rate rests on two and a half of them only.
	n := NegBin{Mean: 20, Shape: 2.5}
	fmt.Println(n.Quantile(0.5), n.Quantile(0.95), Poisson{20}.Quantile(0.95))
	// Output: 17 46 28
}
