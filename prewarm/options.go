package prewarm

import (
	"fmt"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/forecast/gap"
)

// Options tunes a Planner. The zero value is ready to use.
type Options struct {
	Policy   dispatcher.Model // that decides levels: gap (default), reactive, ewma, holt, pgmix
	Kappa    time.Duration    // what a cold start is worth, in idle time of the function's container. Default 60 s
	Start    time.Duration    // a start is taken to last so long before the first was measured. Default 1 s
	RoundMin time.Duration    // between readings of the news while things move. Default 200 ms
	RoundMax time.Duration    // between them while nothing does. Default 800 ms
	MaxItems int              // schedules worked out in one round; the rest is carried on. Default 20,000
	Gap      gap.Options

	Epoch      time.Time // wall time at which now was 0; only calendars need it
	Mode       Mode      // what forecasts may do. Default on
	Prices     Prices    // in place of Kappa
	TargetCold float64   // wanted share of cold calls, in (0,1): kappa is learnt per account, from Kappa on. 0: it is not
	NoFallback bool      // forecasts decide for functions, too, for which they cost more than the reactive policy
}

func (o Options) withDefaults() (Options, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Kappa, time.Minute)
	def(&o.Start, time.Second)
	def(&o.RoundMin, 200*time.Millisecond)
	def(&o.RoundMax, 800*time.Millisecond)
	if o.MaxItems == 0 {
		o.MaxItems = 20_000
	}
	if o.Policy == dispatcher.ModelNone {
		o.Policy = dispatcher.ModelGap
	}
	switch {
	case o.Kappa < 0 || o.Start < 0 || o.RoundMin < 0 || o.MaxItems < 0:
		return o, fmt.Errorf("prewarm: kappa %v, start %v, round %v and items %d must not be negative", o.Kappa, o.Start, o.RoundMin, o.MaxItems)
	case o.RoundMin > o.RoundMax:
		return o, fmt.Errorf("prewarm: the shortest round, %v, is longer than the longest, %v", o.RoundMin, o.RoundMax)
	case o.Policy > dispatcher.ModelPGMix:
		return o, fmt.Errorf("prewarm: policy %d does not exist", o.Policy)
	case int(o.Mode) >= len(modeNames):
		return o, fmt.Errorf("prewarm: mode %d does not exist", o.Mode)
	case !(o.TargetCold >= 0 && o.TargetCold < 1):
		return o, fmt.Errorf("prewarm: target cold share %v is outside (0,1)", o.TargetCold)
	}
	o.Epoch = o.Epoch.Round(0) // without a monotonic reading, which calendars must not mix in
	if err := o.Prices.check(); err != nil {
		return o, err
	}
	return o, o.Gap.Check()
}

// ParsePolicy turns the name of a policy into its number.
func ParsePolicy(name string) (dispatcher.Model, error) {
	for m := dispatcher.ModelGap; m <= dispatcher.ModelPGMix; m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("policy %q does not exist; there are gap, reactive, ewma, holt and pgmix", name)
}
