package local

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkBurst says what a burst of starts that compute does to calls that sleep:
// their 99th percentile without and with it. There may be 1.5 times the one plus 5 ms.
func BenchmarkBurst(b *testing.B) {
	var quiet, busy []time.Duration
	var took time.Duration
	for b.Loop() {
		cluster := newCluster(b, ManagerOptions{})
		n := cluster.reserve()
		c := n.create("sleep", 512)
		n.mustInvoke(c, `{"ms":20}`)
		stop := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(stop) })
		quiet = append(quiet, sleeps(n, c, stop)...)

		stop = make(chan struct{})
		begin := time.Now()
		go func() {
			defer close(stop)
			var starts sync.WaitGroup
			for range 12 {
				starts.Go(func() { n.create("heavy", 256) })
			}
			starts.Wait()
		}()
		busy = append(busy, sleeps(n, c, stop)...)
		took += time.Since(begin)
		cluster.end()
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	q, s := percentile99(quiet), percentile99(busy)
	b.ReportMetric(ms(q), "quiet-p99-ms")
	b.ReportMetric(ms(s), "burst-p99-ms")
	b.ReportMetric(ms(s)/(1.5*ms(q)+5), "of-what-may-be")
	b.ReportMetric(ms(took)/float64(b.N), "burst-ms")
}

// sleeps calls the function by four callers until stop is closed, and says how long each call took.
func sleeps(n *testNode, container string, stop <-chan struct{}) []time.Duration {
	var mu sync.Mutex
	var all []time.Duration
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				begin := time.Now()
				n.mustInvoke(container, `{"ms":20}`)
				d := time.Since(begin)
				mu.Lock()
				all = append(all, d)
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	return all
}

func percentile99(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[(len(all)-1)*99/100]
}
