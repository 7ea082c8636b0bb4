package dist

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"testing"
)

// The reference values come from R; see forecast/testdata/README.md. The trimmed
// copy is always there, the full one only beside a developer's checkout.
var goldenFolders = map[string]string{
	"trimmed": "../testdata",
	"full":    "../../../shared/data/golden",
}

type golden struct {
	QPois []struct {
		Lambda, P float64
		Q         int
	}
	QNBinom []struct {
		Size, Mu, P float64
		Q           int
	}
}

// eachGolden runs f over both copies of the reference values.
func eachGolden(t *testing.T, f func(t *testing.T, g golden)) {
	for name, folder := range goldenFolders {
		t.Run(name, func(t *testing.T) {
			file, err := os.Open(folder + "/dist_staffing_scores.json.gz")
			if os.IsNotExist(err) && name == "full" {
				t.Skipf("full reference values are not in %s", folder)
			} else if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			z, err := gzip.NewReader(file)
			if err != nil {
				t.Fatal(err)
			}
			var g golden
			if err := json.NewDecoder(z).Decode(&g); err != nil {
				t.Fatal(err)
			}
			f(t, g)
		})
	}
}

func TestGoldenPoissonQuantile(t *testing.T) {
	eachGolden(t, func(t *testing.T, g golden) {
		if len(g.QPois) != 60 {
			t.Fatalf("%d cases, want 60", len(g.QPois))
		}
		for _, c := range g.QPois {
			if got := (Poisson{c.Lambda}).Quantile(c.P); got != c.Q {
				t.Errorf("Poisson(%v).Quantile(%v) = %d, R says %d", c.Lambda, c.P, got, c.Q)
			}
		}
	})
}

func TestGoldenNegBinQuantile(t *testing.T) {
	eachGolden(t, func(t *testing.T, g golden) {
		if len(g.QNBinom) != 125 {
			t.Fatalf("%d cases, want 125", len(g.QNBinom))
		}
		for _, c := range g.QNBinom {
			n := NegBin{Mean: c.Mu, Shape: c.Size}
			if got := n.Quantile(c.P); got != c.Q {
				t.Errorf("%+v.Quantile(%v) = %d, R says %d", n, c.P, got, c.Q)
			}
			if tail := n.Tail(c.Q + 1); math.Abs(tail+n.CDF(c.Q)-1) > 1e-12 {
				t.Errorf("%+v: CDF(%d) and Tail(%d) sum to %v", n, c.Q, c.Q+1, tail+n.CDF(c.Q))
			}
		}
	})
}
