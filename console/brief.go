package console

import (
	"fmt"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

// Brief says why an order was given in a few words, for a table.
func Brief(o *dispatcher.Order) string {
	r := &o.Why
	verb := [...]string{"started", "stopped", "node reserved", "node released"}[o.Kind]
	switch r.Cause {
	case dispatcher.CauseWaiting:
		return fmt.Sprintf("%s: %s", verb, count(r.Waiting, "call waits", "calls wait"))
	case dispatcher.CauseForecast:
		switch {
		case r.Model == dispatcher.ModelGap && r.Gaps > 0 && r.Expect > 0:
			return fmt.Sprintf("%s: use in %s, p %.2f", verb, Duration(r.Expect.Round(100*time.Millisecond)), r.Prob)
		case r.Rate > 0:
			return fmt.Sprintf("%s: %.3g calls/s expected", verb, r.Rate)
		}
		return fmt.Sprintf("%s: %s wanted", verb, count(r.Want, "level", "levels"))
	case dispatcher.CauseSurplus:
		if r.Model == dispatcher.ModelGap && r.Gaps > 0 && r.Expect > 0 {
			return fmt.Sprintf("%s: next use only in %s", verb, Duration(r.Expect.Round(100*time.Millisecond)))
		}
		return fmt.Sprintf("%s: idle for %s", verb, Duration(r.Idle.Round(100*time.Millisecond)))
	}
	return verb + ": " + r.Cause.String()
}
