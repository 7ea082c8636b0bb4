package forecast

import (
	"fmt"
	"testing"
	"time"
)

// A round of 0.5 s of one function: a count, a forecast and the marginal rule.
func BenchmarkRound(b *testing.B) {
	for _, name := range []string{"ewma", "holt", "poissongamma", "pgmix"} {
		m := newModel(b, name)
		counts := [4]int{0, 0, 1, 3}
		i := 0
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				i++
				m.Observe(counts[i%4], 500*time.Millisecond)
				m.Forecast(3 * time.Second)
			}
		})
		b.Run(name+"+servers", func(b *testing.B) {
			servers := 0
			for b.Loop() {
				i++
				m.Observe(counts[i%4], 500*time.Millisecond)
				servers = m.Forecast(3*time.Second).Servers(200*time.Millisecond, time.Minute)
			}
			b.ReportMetric(float64(servers), "servers")
		})
	}
}

// A function that comes back after an hour.
func BenchmarkHourOfSilence(b *testing.B) {
	for _, name := range []string{"ewma", "holt", "poissongamma", "pgmix"} {
		m := newModel(b, name)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m.Observe(0, time.Hour)
				m.Observe(1, 0)
			}
		})
	}
}

func BenchmarkServers(b *testing.B) {
	for _, rate := range []int{1, 50, 2000} {
		b.Run(fmt.Sprintf("per-second-%d", rate), func(b *testing.B) {
			m := newPGMix(b, PGMixOptions{})
			for range 1000 {
				m.Observe(rate, time.Second)
			}
			r := m.Forecast(0)
			servers := 0
			for b.Loop() {
				servers = r.Servers(time.Second, time.Minute)
			}
			b.ReportMetric(float64(servers), "servers")
		})
	}
}
