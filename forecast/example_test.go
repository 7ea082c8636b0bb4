package forecast_test

import (
	"fmt"
	"time"

	"github.com/forewarm/forewarm/forecast"
)

// A function is silent for ten minutes and then gets four calls a second. How many
// containers are worth holding, if a call takes 200 ms and nobody would pay more
// than a minute of an idle container to spare a cold start?
func ExamplePGMix() {
	m, err := forecast.NewPGMix(forecast.PGMixOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	const service, price = 200 * time.Millisecond, time.Minute
	show := func(when string) {
		r := m.Forecast(3 * time.Second)
		fmt.Printf("%-15s %.3f calls/s: %d containers\n", when, r.Mean(), r.Servers(service, price))
	}

	m.Observe(0, 10*time.Minute)
	show("after silence")
	m.Observe(2, 500*time.Millisecond)
	show("after 0.5 s")
	for range 59 {
		m.Observe(2, 500*time.Millisecond)
	}
	show("after 30 s")
	m.Observe(0, 2*time.Minute)
	show("silent again")
	// Output:
	// after silence   0.001 calls/s: 0 containers
	// after 0.5 s     0.154 calls/s: 1 containers
	// after 30 s      3.169 calls/s: 4 containers
	// silent again    0.003 calls/s: 0 containers
}

func ExampleRate_Servers() {
	const service, price = time.Second, time.Minute
	fmt.Println(forecast.Known(2).Servers(service, price))
	fmt.Println(forecast.Uncertain(2, 3).Servers(service, price), "when 2/s is a guess from three calls")
	fmt.Println(forecast.Known(0.01).Servers(service, price), "for a call every 100 s")
	// Output:
	// 7
	// 10 when 2/s is a guess from three calls
	// 0 for a call every 100 s
}
