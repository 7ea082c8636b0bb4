package gap_test

import (
	"fmt"
	"time"

	"github.com/forewarm/forewarm/forecast/gap"
)

// A function is called every six seconds. After three calls its next one is known well enough to drop the container
// in between, and to have another ready in time.
func Example() {
	levels, err := gap.New(gap.Options{})
	if err != nil {
		panic(err)
	}
	for i := range 4 {
		at := time.Duration(i) * 6 * time.Second
		levels.Arrive(at)
		levels.Depart(at + 500*time.Millisecond)
	}
	price := gap.Price{Kappa: 4 * time.Second, Start: 800 * time.Millisecond, Lead: time.Second}
	now := 18500 * time.Millisecond // the fourth call has just ended
	for now < 25*time.Second {
		want := levels.Wanted(now, price)
		fmt.Printf("%5.1fs: want %d, use expected in %.1fs (%.0f %%)\n",
			now.Seconds(), want.Idle, want.Why.Expect.Seconds(), 100*want.Why.Prob)
		now = want.Next
	}
	// Output:
	//  18.5s: want 0, use expected in 5.5s (87 %)
	//  22.8s: want 1, use expected in 1.2s (98 %)
	//  24.2s: want 0, use expected in 0.1s (5 %)
}
