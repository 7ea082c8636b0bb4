package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/forewarm/forewarm/cluster"
	"github.com/forewarm/forewarm/dispatcher"
)

// Order says in a sentence or two what was ordered and why.
func Order(o *dispatcher.Order) string {
	var b strings.Builder
	switch o.Kind {
	case dispatcher.StartContainer:
		fmt.Fprintf(&b, "start a container of %s", o.Function.Name)
		if o.Why.Units > 1 {
			fmt.Fprintf(&b, " sized for %d requests", o.Why.Units)
		}
		fmt.Fprintf(&b, " (%s) on %s", Bytes(o.Spec.Memory), o.Node.ID)
	case dispatcher.StopContainer:
		fmt.Fprintf(&b, "stop container %s of %s on %s", short(o.ContainerID), o.Function.Name, o.Node.ID)
	case dispatcher.ReserveNode:
		b.WriteString("reserve a node")
	case dispatcher.ReleaseNode:
		fmt.Fprintf(&b, "release node %s", o.Node.ID)
	}
	b.WriteString(": ")
	b.WriteString(Reason(o.Kind, &o.Why))
	return b.String()
}

// Reason puts a reason into words: what was seen, which law or model, how far it looked, the price, what clipped it.
func Reason(k dispatcher.OrderKind, r *dispatcher.Reason) string {
	parts := []string{cause(k, r)}
	if law := model(k, r); law != "" {
		parts = append(parts, law)
	}
	if cost := prices(r); cost != "" {
		parts = append(parts, cost)
	}
	if clip := clipped(r.Clip); clip != "" {
		parts = append(parts, clip)
	}
	return strings.Join(parts, "; ")
}

func cause(k dispatcher.OrderKind, r *dispatcher.Reason) string {
	switch r.Cause {
	case dispatcher.CauseWaiting:
		return fmt.Sprintf("%s; %s, %d starting; a start takes about %s", count(r.Waiting, "call waits", "calls wait"),
			count(r.Ready, "container is ready", "containers are ready"), r.Starting, Duration(r.Lead))
	case dispatcher.CauseForecast:
		if k == dispatcher.ReserveNode {
			return fmt.Sprintf("containers and waiting calls need %s", Bytes(r.Memory))
		}
		return fmt.Sprintf("%s wanted; %s, %d starting", count(r.Want, "level is", "levels are"), count(r.Ready, "container is ready", "containers are ready"), r.Starting)
	case dispatcher.CauseMinimum:
		return fmt.Sprintf("the function's minimum is %d", r.Want)
	case dispatcher.CauseSurplus:
		return fmt.Sprintf("%s wanted and this container, idle for %s, is one too many", count(r.Want, "level is", "levels are"), Duration(r.Idle))
	case dispatcher.CauseIdle:
		return fmt.Sprintf("idle for %s with no planner to say that it is wanted", Duration(r.Idle))
	case dispatcher.CauseFailed:
		return "a request in it failed in a way that may have broken it"
	case dispatcher.CauseMemory:
		return "it ran out of memory"
	case dispatcher.CauseExpired:
		return "its lease was not returned in time, so that nobody knows what runs in it"
	case dispatcher.CauseReclaim:
		return fmt.Sprintf("calls of another function wait for %s and no node has room", Bytes(r.Memory))
	case dispatcher.CauseChanged:
		return "the function's configuration changed"
	case dispatcher.CauseDrain:
		return "its node is being emptied, since the others have room for what it holds"
	case dispatcher.CauseNodeLost:
		return "the node does not answer any more"
	case dispatcher.CauseCapacity:
		return fmt.Sprintf("waiting calls need %s that no held node has", Bytes(r.Memory))
	case dispatcher.CauseNodeIdle:
		return fmt.Sprintf("empty for %s and %s wanted", Duration(r.Idle), count(r.Want, "node is", "nodes are"))
	case dispatcher.CauseShutdown:
		return "the scheduler is stopping"
	}
	return "no reason was recorded"
}

func model(k dispatcher.OrderKind, r *dispatcher.Reason) string {
	switch r.Model {
	case dispatcher.ModelGap:
		return gapLaw(k, r)
	case dispatcher.ModelReactive:
		return fmt.Sprintf("reactive rule: a container stays %s after its last use", Duration(r.Horizon))
	case dispatcher.ModelEWMA, dispatcher.ModelHolt, dispatcher.ModelPGMix:
		if k == dispatcher.ReserveNode || k == dispatcher.ReleaseNode {
			return fmt.Sprintf("the trend of the demand (%s) reaches %s in %s", r.Model, Bytes(r.Memory), Duration(r.Horizon))
		}
		return fmt.Sprintf("%s expects %.3g calls a second %s ahead", r.Model, r.Rate, Duration(r.Horizon))
	}
	return ""
}

// gapLaw tells what the law of a level's idle gaps says.
func gapLaw(k dispatcher.OrderKind, r *dispatcher.Reason) string {
	if r.Level < 0 {
		return ""
	}
	what := "level"
	if k == dispatcher.ReserveNode || k == dispatcher.ReleaseNode {
		what = "node level"
	}
	if r.Gaps == 0 {
		return fmt.Sprintf("%s %d has no law of its own yet: it is kept for kappa plus a start", what, r.Level)
	}
	s := fmt.Sprintf("the law of %s %d knows %s", what, r.Level, count(r.Gaps, "idle gap", "idle gaps"))
	if r.Expect > 0 {
		s += fmt.Sprintf(" and, idle for %s, expects the next use in %s (probability %.2f)", Duration(r.Idle), Duration(r.Expect), r.Prob)
	} else if r.Idle > 0 {
		s += fmt.Sprintf("; it has been idle for %s", Duration(r.Idle))
	}
	if r.Lead > 0 {
		s += fmt.Sprintf("; a start is given %s", Duration(r.Lead))
	}
	return s
}

func prices(r *dispatcher.Reason) string {
	if r.Model != dispatcher.ModelGap || r.Hold == 0 && r.Drop == 0 {
		return ""
	}
	return fmt.Sprintf("holding costs %.3g container-seconds, not holding %.3g, at %s a cold start", r.Hold, r.Drop, Duration(r.Kappa))
}

func clipped(c dispatcher.Clip) string {
	switch c {
	case dispatcher.ClipMemory:
		return "no node has room for more"
	case dispatcher.ClipNodes:
		return "the cap on nodes is reached"
	case dispatcher.ClipMax:
		return "the function's maximum is reached"
	case dispatcher.ClipBackoff:
		return "starts failed lately, so that the next is put off"
	case dispatcher.ClipUnknown:
		return "nothing is known of the function yet: a few containers serve its first burst"
	}
	return ""
}

func count(n int32, one, many string) string {
	switch n {
	case 0:
		return "no " + one
	case 1:
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Bytes writes a size as people say it.
func Bytes(n int64) string {
	switch {
	case n >= cluster.GiB && n%(cluster.GiB/4) == 0:
		return fmt.Sprintf("%g GiB", float64(n)/float64(cluster.GiB))
	case n >= 10*cluster.GiB:
		return fmt.Sprintf("%.1f GiB", float64(n)/float64(cluster.GiB))
	}
	return fmt.Sprintf("%d MiB", (n+cluster.MiB/2)/cluster.MiB)
}

// Duration writes a time with as many digits as matter.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// short cuts the 64 digits of a container's id to what tells it apart.
func short(id string) string {
	if len(id) > 16 {
		return id[:16]
	}
	return id
}
