package console

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// SetFunction changes a function's levers.
func (c *Control) SetFunction(ctx context.Context, r *forewarmv1.SetFunctionRequest) (*forewarmv1.SetFunctionReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := &forewarmv1.SetFunctionReply{}
	var end func(error)
	account, err := c.account(r.GetAccount(), r.GetFunction())
	if err == nil {
		err = c.Levers.ChangeFunction(account, r.GetFunction(), func(l *dispatcher.Limits, b *prewarm.Bounds) error {
			reply.Before = leversOf(*l, *b)
			before := LeversWords(*l, *b)
			mergeLevers(l, b, r.GetLevers())
			reply.After = leversOf(*l, *b)
			end = c.Log.Begin(ctx, FunctionWords(account, r.GetFunction()), before, LeversWords(*l, *b))
			return checkLevers(l, b)
		})
	}
	if end == nil {
		var l dispatcher.Limits
		var b prewarm.Bounds
		mergeLevers(&l, &b, r.GetLevers())
		end = c.Log.Begin(ctx, FunctionWords(r.GetAccount(), r.GetFunction()), "", LeversWords(l, b))
	}
	end(plain(err))
	if err != nil {
		return nil, refusal(err)
	}
	return reply, nil
}

// account says of which account a function is meant: the one that was said, else the only one that has it. A function
// that was neither called nor configured is refused: its name may be a slip.
func (c *Control) account(account, function string) (string, error) {
	var of, names []string
	c.Shell.Core().Functions(c.Shell.Now(), func(i *dispatcher.FunctionInfo) bool {
		if i.Function.Name == function {
			of = append(of, i.Function.Account)
		} else if len(names) < maxNames && !slices.Contains(names, i.Function.Name) {
			names = append(names, i.Function.Name)
		}
		return true
	})
	configured, _ := c.Levers.Named()
	is := slices.Contains(configured, function)
	switch {
	case slices.Contains(of, account), is && account != "":
		return account, nil
	case account != "" && len(of) > 0:
		return "", status.Errorf(codes.NotFound, "account %q never called function %q; %s", account, function, known("account", of))
	case len(of) == 1:
		return of[0], nil
	case len(of) > 1:
		return "", status.Errorf(codes.InvalidArgument, "function %q is called by several accounts: say which; %s", function, known("account", of))
	case is:
		return "", status.Errorf(codes.InvalidArgument, "function %q was not called yet: say by which account it will be", function)
	}
	return "", status.Errorf(codes.NotFound, "function %q was never called and is not configured; %s", function, known("function", names))
}

func leversOf(l dispatcher.Limits, b prewarm.Bounds) *forewarmv1.Levers {
	n := func(v int) *int32 { w := int32(min(v, math.MaxInt32)); return &w }
	return &forewarmv1.Levers{Min: n(b.Min), Max: n(b.Max), Pause: &b.Paused, MaxContainers: n(l.Containers), MaxWaiting: n(l.Waiting)}
}

// mergeLevers sets what is set in r. A pause is one lever that two parts heed.
func mergeLevers(l *dispatcher.Limits, b *prewarm.Bounds, r *forewarmv1.Levers) {
	if r == nil {
		return
	}
	merge(&b.Min, r.Min)
	merge(&b.Max, r.Max)
	merge(&l.Containers, r.MaxContainers)
	merge(&l.Waiting, r.MaxWaiting)
	if r.Pause != nil {
		l.Paused, b.Paused = *r.Pause, *r.Pause
	}
}

func merge(to *int, from *int32) {
	if from != nil {
		*to = int(*from)
	}
}

// checkLevers refuses what cannot be meant. What a calendar has to do with it, the planner checks.
func checkLevers(l *dispatcher.Limits, b *prewarm.Bounds) error {
	for _, v := range []struct {
		name string
		is   int
	}{{"min", b.Min}, {"max", b.Max}, {"max_containers", l.Containers}, {"max_waiting", l.Waiting}} {
		if v.is < 0 {
			return status.Errorf(codes.InvalidArgument, "%s is %d, it must not be negative; 0 lifts the bound", v.name, v.is)
		}
	}
	switch {
	case b.Max > 0 && b.Min > b.Max:
		return status.Errorf(codes.InvalidArgument, "min %d is above max %d: raise max or lower min", b.Min, b.Max)
	case l.Containers > 0 && b.Min > l.Containers:
		return status.Errorf(codes.InvalidArgument, "min %d is above max_containers %d: raise max_containers or lower min", b.Min, l.Containers)
	case l.Containers > 0 && b.Max > l.Containers:
		return status.Errorf(codes.InvalidArgument, "max %d is above max_containers %d: raise max_containers or lower max", b.Max, l.Containers)
	}
	return nil
}

func limitsOf(l dispatcher.AccountLimits) *forewarmv1.Limits {
	containers, waiting := int32(min(l.Containers, math.MaxInt32)), int32(min(l.Waiting, math.MaxInt32))
	return &forewarmv1.Limits{MaxContainers: &containers, MaxWaiting: &waiting, MemoryShare: &l.MemoryShare}
}

func limits(r *forewarmv1.Limits) *dispatcher.AccountLimits {
	l := &dispatcher.AccountLimits{}
	mergeLimits(l, r)
	return l
}

func mergeLimits(l *dispatcher.AccountLimits, r *forewarmv1.Limits) {
	if r == nil {
		return
	}
	merge(&l.Containers, r.MaxContainers)
	merge(&l.Waiting, r.MaxWaiting)
	if r.MemoryShare != nil {
		l.MemoryShare = *r.MemoryShare
	}
}

func checkLimits(l *dispatcher.AccountLimits) error {
	switch {
	case l.Containers < 0:
		return status.Errorf(codes.InvalidArgument, "max_containers is %d, it must not be negative; 0 lifts the bound", l.Containers)
	case l.Waiting < 0:
		return status.Errorf(codes.InvalidArgument, "max_waiting is %d, it must not be negative; 0 lifts the bound", l.Waiting)
	case !(l.MemoryShare >= 0 && l.MemoryShare <= 1): // not a number neither
		return status.Errorf(codes.InvalidArgument, "memory_share is %v, it must be above 0 and at most 1; 0 lifts the bound", l.MemoryShare)
	}
	return nil
}

// FunctionWords names a function as the audit log does.
func FunctionWords(account, function string) string {
	if account == "" {
		return fmt.Sprintf("function %q", function)
	}
	return fmt.Sprintf("function %q of account %q", function, account)
}

// AccountWords names an account as the audit log does.
func AccountWords(account string) string { return fmt.Sprintf("account %q", account) }

// LeversWords says what holds for a function, in words of which those that say nothing are left out.
func LeversWords(l dispatcher.Limits, b prewarm.Bounds) string {
	var parts []string
	if b.Paused || l.Paused {
		parts = append(parts, "paused")
	}
	parts = bound(parts, "min", b.Min)
	parts = bound(parts, "max", b.Max)
	parts = bound(parts, "max_containers", l.Containers)
	parts = bound(parts, "max_waiting", l.Waiting)
	if n := len(b.Calendar); n > 0 {
		parts = append(parts, "calendar of "+count(int32(n), "window", "windows"))
	}
	return orNothing(parts)
}

// LimitsWords says what holds for an account.
func LimitsWords(l dispatcher.AccountLimits) string {
	parts := bound(bound(nil, "max_containers", l.Containers), "max_waiting", l.Waiting)
	if l.MemoryShare != 0 {
		parts = append(parts, fmt.Sprintf("memory_share %v", l.MemoryShare))
	}
	return orNothing(parts)
}

func bound(parts []string, name string, v int) []string {
	if v == 0 {
		return parts
	}
	return append(parts, fmt.Sprintf("%s %d", name, v))
}

func orNothing(parts []string) string {
	if len(parts) == 0 {
		return "no bounds"
	}
	return strings.Join(parts, ", ")
}
