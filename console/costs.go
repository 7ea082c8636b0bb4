package console

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/forewarm/forewarm/prewarm"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// Units of costs.
const (
	UnitMoney   = "money"
	UnitSeconds = "container-seconds"
)

// Costs tells what functions cost and would have cost by keep-alive, the dearest first.
func (c *Control) Costs(_ context.Context, r *forewarmv1.CostsRequest) (*forewarmv1.CostsReply, error) {
	reply := &forewarmv1.CostsReply{Unit: UnitSeconds}
	if c.Levers.Money() {
		reply.Unit = UnitMoney
	}
	sum := &forewarmv1.Cost{}
	c.Planner.View(func(p *prewarm.Planner) {
		p.Forecasts(c.Shell.Now(), func(f prewarm.Forecast) bool {
			if match(r.GetFunction(), f.Name) {
				k := cost(&f)
				add(sum, k)
				reply.Costs = append(reply.Costs, k)
			}
			return true
		})
	})
	if r.GetFunction() != "" {
		if len(reply.Costs) == 0 {
			return nil, status.Errorf(codes.NotFound, "nothing is known of what function %q costs: it was not called in this run", r.GetFunction())
		}
		return reply, nil
	}
	slices.SortStableFunc(reply.Costs, func(a, b *forewarmv1.Cost) int {
		switch {
		case a.Total > b.Total:
			return -1
		case a.Total < b.Total:
			return 1
		}
		return strings.Compare(a.Function, b.Function)
	})
	reply.Costs = append([]*forewarmv1.Cost{sum}, reply.Costs...)
	return reply, nil
}

// cost takes a function's account apart. The books keep the sum alone: misses are reckoned at the kappa in force, and
// what is left went into starts. Where kappa is learnt or was changed, the two may be off against each other.
func cost(f *prewarm.Forecast) *forewarmv1.Cost {
	live := &f.Spent.Live
	idle := live.Idle.Seconds()
	colds := min(float64(live.Missed)*f.Kappa.Seconds(), max(0, live.Cost-idle))
	return &forewarmv1.Cost{Account: f.Account, Function: f.Name, Idle: idle * f.Unit, Colds: colds * f.Unit,
		Starts: max(0, live.Cost-idle-colds) * f.Unit, Total: live.Cost * f.Unit, Reactive: f.Spent.Reactive.Cost * f.Unit,
		FallenBack: f.Fallback, Kappa: durationpb.New(f.Kappa)}
}

func add(sum, k *forewarmv1.Cost) {
	sum.Idle += k.Idle
	sum.Starts += k.Starts
	sum.Colds += k.Colds
	sum.Total += k.Total
	sum.Reactive += k.Reactive
}
