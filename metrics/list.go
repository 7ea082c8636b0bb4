package metrics

import (
	"math"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// Metric describes one of the metrics of a [Collector].
type Metric struct {
	Name   string
	Type   Type
	Labels []string // function and account come first
	Values []string // of the last label, in order, where they are closed
	Help   string
}

// Type is a metric's type in the exposition.
type Type string

// The types in use.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Group is a part of the list.
type Group struct {
	Title   string
	Metrics []Metric
}

// List describes every metric of a Collector, in the order of docs/metrics.md.
func List() []Group {
	return []Group{
		{"Calls and containers of functions", append(metricsOf(functionSeries), waits)},
		{"Forecasts of functions", metricsOf(forecastSeries)},
		{"Nodes", metricsOf(clusterSeries)},
		{"Planner", metricsOf(roundSeries)},
		{"Program", []Metric{functions, build}},
	}
}

// series is a metric and how its values are read from a T: one per value of its last label where these are
// closed, else one. NaN means that there is nothing to tell.
type series[T any] struct {
	Metric
	read func(from T, values []float64) []float64 // appends
}

func metricsOf[T any](list []series[T]) []Metric {
	ms := make([]Metric, 0, len(list)+1)
	for i := range list {
		ms = append(ms, list[i].Metric)
	}
	return ms
}

var (
	perFunction = []string{"function", "account"}
	quantiles   = []string{"0.1", "0.5", "0.9", "0.99"} // those that dispatcher.Times holds
)

// with is perFunction and one more label. A label of quantiles is called q: "quantile" belongs to summaries, and
// checkers of expositions insist on it.
func with(label string) []string { return []string{"function", "account", label} }

// functionSeries are read from what the core counts of one function.
var functionSeries = []series[*dispatcher.FunctionInfo]{
	{Metric{"forewarm_calls_total", Counter, with("start"), []string{"warm", "waited", "cold"},
		"Calls that got a container: warm at once, waited for one that came free, cold when it was not ready as the call arrived."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 {
			return counts(v, i.Count.Warm, i.Count.Waited, i.Count.Cold)
		}},
	{Metric{"forewarm_calls_refused_total", Counter, with("reason"), []string{"line_full", "deadline", "cancelled"},
		"Calls that got no container: the line was full, the wait ended (by its deadline, or because starting cannot work), or the caller went away."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 {
			return counts(v, i.Count.Refused, i.Count.TimedOut, i.Count.Cancelled)
		}},
	{Metric{"forewarm_waiting", Gauge, perFunction, nil,
		"Calls in the waiting line."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return append(v, float64(i.Waiting)) }},
	{Metric{"forewarm_leased", Gauge, perFunction, nil,
		"Calls that hold a container."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return append(v, float64(i.Leased)) }},
	{Metric{"forewarm_returns_total", Counter, perFunction, nil,
		"Calls that returned their container, failed ones among them."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return counts(v, i.Count.Returned) }},
	{Metric{"forewarm_failed_returns_total", Counter, perFunction, nil,
		"Returns that said that the container must not be used again."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return counts(v, i.Count.Failed) }},
	{Metric{"forewarm_leases_expired_total", Counter, perFunction, nil,
		"Containers taken back from calls that never returned them."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return counts(v, i.Count.Expired) }},
	{Metric{"forewarm_containers", Gauge, with("state"), []string{"ready", "idle", "starting", "stopping"},
		"Containers by state. The idle ones, which hold no call, are among the ready ones."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 {
			return append(v, float64(i.Ready), float64(i.Idle), float64(i.Starting), float64(i.Stopping))
		}},
	{Metric{"forewarm_container_starts_total", Counter, perFunction, nil,
		"Containers that became ready."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return counts(v, i.Count.Started) }},
	{Metric{"forewarm_container_start_failures_total", Counter, perFunction, nil,
		"Starts of containers that came to nothing."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return counts(v, i.Count.StartFailed) }},
	{Metric{"forewarm_container_stops_total", Counter, perFunction, nil,
		"Containers that were removed."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return counts(v, i.Count.Stopped) }},
	{Metric{"forewarm_container_seconds_total", Counter, with("state"), []string{"idle", "busy", "starting", "stopping"},
		"Time that containers spent in a state, summed over containers."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 {
			c := &i.Count
			return seconds(v, c.Idle, c.ReadyIn-c.Idle, c.Starting, c.Stopping)
		}},
	{Metric{"forewarm_start_time_seconds", Gauge, with("q"), quantiles,
		"Quantiles of the time from ordering a container to its being ready, over recent starts. Not told of other."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return times(v, i.Start) }},
	{Metric{"forewarm_service_time_seconds", Gauge, with("q"), quantiles,
		"Quantiles of the time that calls held a container, over recent calls. Not told of other."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return times(v, i.Service) }},
	{Metric{"forewarm_events_lost_total", Counter, perFunction, nil,
		"Arrivals and returns that the planner never saw because it did not read them in time."},
		func(i *dispatcher.FunctionInfo, v []float64) []float64 { return counts(v, i.Count.EventsLost) }},
}

// waits has buckets, so it is told apart from functionSeries.
var waits = Metric{"forewarm_call_wait_seconds", Histogram, perFunction, nil,
	"Time that calls waited for a container. Warm calls are among them, with 0 s."}

// forecastSeries are read from what the planner expects of one function.
var forecastSeries = []series[*prewarm.Forecast]{
	{Metric{"forewarm_forecast_rate", Gauge, perFunction, nil,
		"Calls per second that are expected now."},
		func(f *prewarm.Forecast, v []float64) []float64 { return append(v, f.Rate) }},
	{Metric{"forewarm_expected_occupancy", Gauge, perFunction, nil,
		"Calls that are expected to be served at the same time, at that rate."},
		func(f *prewarm.Forecast, v []float64) []float64 { return append(v, f.Busy) }},
	{Metric{"forewarm_wanted_levels", Gauge, perFunction, nil,
		"Calls that containers should be able to hold at once, as the planner wants it."},
		func(f *prewarm.Forecast, v []float64) []float64 { return append(v, float64(f.Want)) }},
}

// clusterSeries are read from what the core knows of nodes.
var clusterSeries = []series[*dispatcher.ClusterInfo]{
	{Metric{"forewarm_nodes", Gauge, []string{"state"}, []string{"live", "draining", "releasing", "lost", "asked"},
		"Nodes by state: live, being emptied, being given back, not answering, or asked for and not here yet."},
		nodeStates},
	{Metric{"forewarm_nodes_wanted", Gauge, nil, nil,
		"Nodes that the planner wants, in all."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return append(v, float64(i.Target)) }},
	{Metric{"forewarm_node_seconds_total", Counter, nil, nil,
		"Time that nodes were held, summed over nodes."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return seconds(v, i.NodeTime) }},
	{Metric{"forewarm_node_memory_bytes", Gauge, nil, nil,
		"Memory that the live and the draining nodes have for containers."},
		nodeMemory},
	{Metric{"forewarm_node_memory_booked_bytes", Gauge, nil, nil,
		"Memory that is booked for containers, on all nodes."},
		nodeBooked},
	{Metric{"forewarm_node_reservations_total", Counter, nil, nil,
		"Nodes that the manager gave."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return counts(v, i.Reserved) }},
	{Metric{"forewarm_node_reservation_failures_total", Counter, nil, nil,
		"Times that the manager was asked for a node and gave none."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return counts(v, i.Failed) }},
	{Metric{"forewarm_nodes_released_total", Counter, nil, nil,
		"Nodes that were given back."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return counts(v, i.Released) }},
	{Metric{"forewarm_nodes_lost_total", Counter, nil, nil,
		"Nodes that did not answer any more."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return counts(v, i.Lost) }},
	{Metric{"forewarm_functions_waiting_for_memory", Gauge, nil, nil,
		"Functions that want to start a container and find no room on any node."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return append(v, float64(i.InLine)) }},
	{Metric{"forewarm_containers_reclaimed_total", Counter, nil, nil,
		"Idle containers given up because another function needed their memory."},
		func(i *dispatcher.ClusterInfo, v []float64) []float64 { return counts(v, i.Reclaimed) }},
}

// roundSeries are read from what the controller tells of its rounds.
var roundSeries = []series[prewarm.Round]{
	{Metric{"forewarm_planner_rounds_total", Counter, nil, nil,
		"Rounds of the planner."},
		func(r prewarm.Round, v []float64) []float64 { return counts(v, r.Rounds) }},
	{Metric{"forewarm_planner_seconds_total", Counter, nil, nil,
		"Time that the rounds took in all."},
		func(r prewarm.Round, v []float64) []float64 { return seconds(v, r.Sum) }},
	{Metric{"forewarm_planner_round_seconds", Gauge, nil, nil,
		"Time that the last round took."},
		func(r prewarm.Round, v []float64) []float64 { return seconds(v, r.Took) }},
	{Metric{"forewarm_planner_round_seconds_max", Gauge, nil, nil,
		"Time that the longest round took."},
		func(r prewarm.Round, v []float64) []float64 { return seconds(v, r.Max) }},
	{Metric{"forewarm_planner_round_late_seconds", Gauge, nil, nil,
		"Time that the last round began after it was due."},
		func(r prewarm.Round, v []float64) []float64 { return seconds(v, r.Late) }},
	{Metric{"forewarm_planner_carried_total", Counter, nil, nil,
		"Schedules of functions that a round left to a later one, because it had as many as it may work out."},
		func(r prewarm.Round, v []float64) []float64 { return counts(v, r.Carry) }},
}

var (
	functions = Metric{"forewarm_functions", Gauge, nil, nil,
		"Functions that are known, with series of their own or not."}
	build = Metric{"forewarm_build_info", Gauge, []string{"version", "goversion"}, nil,
		"Always 1; the labels tell what runs."}
)

func counts(v []float64, ns ...uint64) []float64 {
	for _, n := range ns {
		v = append(v, float64(n))
	}
	return v
}

func seconds(v []float64, ds ...time.Duration) []float64 {
	for _, d := range ds {
		v = append(v, d.Seconds())
	}
	return v
}

func times(v []float64, t dispatcher.Times) []float64 {
	if t.N == 0 {
		return append(v, math.NaN(), math.NaN(), math.NaN(), math.NaN())
	}
	return seconds(v, t.P10, t.P50, t.P90, t.P99)
}

// nodeStates counts every node once, by what keeps it most from being used.
func nodeStates(i *dispatcher.ClusterInfo, v []float64) []float64 {
	var live, draining, releasing, lost float64
	for k := range i.Nodes {
		switch n := &i.Nodes[k]; {
		case n.Lost:
			lost++
		case n.Releasing:
			releasing++
		case n.Draining:
			draining++
		default:
			live++
		}
	}
	return append(v, live, draining, releasing, lost, float64(i.Asked))
}

func nodeMemory(i *dispatcher.ClusterInfo, v []float64) []float64 {
	var sum int64
	for k := range i.Nodes {
		if n := &i.Nodes[k]; !n.Lost && !n.Releasing {
			sum += n.Node.Memory
		}
	}
	return append(v, float64(sum))
}

func nodeBooked(i *dispatcher.ClusterInfo, v []float64) []float64 {
	var sum int64
	for k := range i.Nodes {
		sum += i.Nodes[k].Booked
	}
	return append(v, float64(sum))
}
