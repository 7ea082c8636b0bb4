package console

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// nextWindows is how many are listed of each function where that is not said.
const nextWindows = 10

// Calendar lists the next windows of functions, by start. Functions that the configuration names and nobody called yet
// have no account.
func (c *Control) Calendar(_ context.Context, r *forewarmv1.CalendarRequest) (*forewarmv1.CalendarReply, error) {
	reply := &forewarmv1.CalendarReply{}
	now, n, found := c.wall(), atMost(r.GetLimit(), nextWindows), false
	for _, k := range c.calendars() {
		if !match(r.GetFunction(), k.function) {
			continue
		}
		found = true
		ws, err := windows(k, c.Levers.Bounds(k.account, k.function).Calendar, now, n)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		reply.Windows = append(reply.Windows, ws...)
	}
	if r.GetFunction() != "" && !found {
		return nil, status.Errorf(codes.NotFound, "function %q was never called and is not configured", r.GetFunction())
	}
	slices.SortStableFunc(reply.Windows, func(a, b *forewarmv1.Window) int {
		return cmp.Or(a.Start.AsTime().Compare(b.Start.AsTime()), cmp.Compare(a.Function, b.Function), cmp.Compare(a.Account, b.Account))
	})
	return reply, nil
}

// wall is the time that calendars go by: the planner follows the machine's clock where that is set.
func (c *Control) wall() (t time.Time) {
	c.Planner.View(func(p *prewarm.Planner) { t = p.Epoch().Add(c.Shell.Now()) })
	return t
}

type named struct{ account, function string }

// calendars lists who may have a calendar: those that were called, and of those that were not the configured ones.
func (c *Control) calendars() (out []named) {
	called := map[string]bool{}
	c.Shell.Core().Functions(c.Shell.Now(), func(i *dispatcher.FunctionInfo) bool {
		called[i.Function.Name] = true
		out = append(out, named{i.Function.Account, i.Function.Name})
		return true
	})
	configured, _ := c.Levers.Named()
	for _, name := range configured {
		if !called[name] {
			out = append(out, named{"", name})
		}
	}
	return out
}

func windows(k named, ws []calendar.Window, now time.Time, n int) (out []*forewarmv1.Window, err error) {
	cal, err := calendar.New(ws...)
	if err != nil {
		return nil, err // it is in force, and so was read before
	}
	for _, o := range cal.Next(now, n) {
		w := &ws[o.Window]
		zone := w.Zone
		if zone == "" {
			zone = "UTC"
		}
		out = append(out, &forewarmv1.Window{Account: k.account, Function: k.function, Start: timestamppb.New(o.From), End: timestamppb.New(o.To),
			Min: int32(o.Min), Max: int32(o.Max), Cron: w.Cron, Zone: zone})
	}
	return out, nil
}
