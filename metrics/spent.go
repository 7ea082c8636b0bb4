package metrics

import (
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// spent adds up the planner's accounts of all functions as counters, which never fall.
//
// An account does fall by a little when the planner hears of a call late: a container that was idle as far as it knew
// was not. To Prometheus that would be a restart, and a rate as high as everything spent so far. So only what goes
// beyond the most that was told of a function counts. An account that begins anew counts from zero.
type spent struct {
	most  [][books]float64 // by function, of its account; container-seconds
	total [books]float64
}

const books = 3 // live, forecast, reactive: the values of costs

func (s *spent) add(fn dispatcher.FnID, a *prewarm.Account) {
	if n := int(fn) + 1 - len(s.most); n > 0 {
		s.most = append(s.most, make([][books]float64, n)...)
	}
	most := &s.most[fn]
	for k, now := range [books]float64{a.Live.Cost, a.Forecast.Cost, a.Reactive.Cost} {
		if now < most[k]/2 {
			most[k] = 0
		}
		s.total[k] += max(0, now-most[k])
		most[k] = max(most[k], now)
	}
}
