package metrics

import (
	"math"
	"time"

	"google.golang.org/grpc/codes"

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
		{"Planner", append(metricsOf(roundSeries), mode, costs)},
		{"Outside the core", outsideMetrics},
		{"Program", []Metric{functions, ready, build}},
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
var forecastSeries = []series[*row]{
	{Metric{"forewarm_forecast_rate", Gauge, perFunction, nil,
		"Calls per second that are expected now."},
		func(r *row, v []float64) []float64 { return append(v, r.forecast.Rate) }},
	{Metric{"forewarm_expected_occupancy", Gauge, perFunction, nil,
		"Calls that are expected to be served at the same time, at that rate."},
		func(r *row, v []float64) []float64 { return append(v, r.forecast.Busy) }},
	{Metric{"forewarm_wanted_levels", Gauge, perFunction, nil,
		"Calls that containers should be able to hold at once, as the planner wants it."},
		func(r *row, v []float64) []float64 { return append(v, float64(r.forecast.Want)) }},
	{Metric{"forewarm_forecast_levels", Gauge, perFunction, nil,
		"The same as the forecasts alone want it: whether they are in force or not, and before floors and ceilings."},
		func(r *row, v []float64) []float64 { return append(v, float64(r.forecast.Ahead)) }},
	{Metric{"forewarm_kappa_seconds", Gauge, perFunction, nil,
		"What a cold start is worth now, in idle time of the function's container. Of other, the mean."},
		func(r *row, v []float64) []float64 { return append(v, r.kappa/float64(r.forecasts)) }},
	{Metric{"forewarm_fallback", Gauge, perFunction, nil,
		"1 while the keep-alive decides because forecasts would cost more. Of other, how many functions it decides for."},
		func(r *row, v []float64) []float64 { return append(v, float64(r.fallbacks)) }},
	{Metric{"forewarm_saved_ratio", Gauge, perFunction, nil,
		"Share of the keep-alive's cost that was not spent so far; negative where forecasts cost more. Not told of other."},
		savedRatio},
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

// costs are of all functions together, so they are told apart from forecastSeries.
var costs = Metric{"forewarm_cost_seconds_total", Counter, []string{"book"}, []string{"live", "forecast", "reactive"},
	"Idle container-time, with a start time for each start and kappa for each call that found no container ready: by what was decided, by the forecasts alone, and by the keep-alive of the reactive policy, for the same calls."}

// mode has one series that is 1, and is told apart from roundSeries for it.
var mode = Metric{"forewarm_planner_mode", Gauge, []string{"mode"}, []string{prewarm.On.String(), prewarm.Shadow.String(), prewarm.Off.String()},
	"1 for the mode that is in force: forecasts decide, are only recorded, or are not made."}

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
	{Metric{"forewarm_planner_round_functions", Gauge, nil, nil,
		"Functions of which the last round had news."},
		func(r prewarm.Round, v []float64) []float64 { return append(v, float64(r.News)) }},
	{Metric{"forewarm_planner_round_levels", Gauge, nil, nil,
		"Levels that the last round decided anew."},
		func(r prewarm.Round, v []float64) []float64 { return append(v, float64(r.Levels)) }},
	{Metric{"forewarm_planner_round_late_seconds", Gauge, nil, nil,
		"Time that the last round began after it was due."},
		func(r prewarm.Round, v []float64) []float64 { return seconds(v, r.Late) }},
	{Metric{"forewarm_planner_carried_total", Counter, nil, nil,
		"Schedules of functions that a round left to a later one, because it had as many as it may work out."},
		func(r prewarm.Round, v []float64) []float64 { return counts(v, r.Carry) }},
}

// outsideMetrics are counted by an Outside, and told under these names.
var outsideMetrics = []Metric{orders, orderSeconds, edgeWaits, nodeReadings, nodeMemoryUsed, stateWrites, stateChanges, stateWriteSeconds,
	grpcCalls, httpRequests, adminRefused, connectionsRefused, linesSuppressed, configReloads, configLastReloadOK, pushes}

var outcomes = []string{"ok", "failed"}

var (
	orders = Metric{"forewarm_orders_total", Counter, []string{"kind", "result"}, outcomes,
		"Orders to the cluster by kind (start and stop a container, reserve and release a node) and by what came of them."}
	orderSeconds = Metric{"forewarm_order_seconds", Histogram, []string{"kind"}, orderWords(),
		"Time that orders took which went well."}
	edgeWaits = Metric{"forewarm_edge_wait_seconds", Histogram, []string{"start"}, []string{dispatcher.Waited.String(), dispatcher.Cold.String()},
		"Time that calls waited, of all functions, apart for those that waited for a container that came free and those that were cold. Warm calls do not wait."}
	nodeReadings = Metric{"forewarm_node_readings_total", Counter, []string{"result"}, outcomes,
		"Readings of what nodes use; a node that fails several in a row is lost."}
	nodeMemoryUsed = Metric{"forewarm_node_memory_used_bytes", Gauge, nil, nil,
		"Memory that is used on the nodes that answered the last reading."}
	stateWrites = Metric{"forewarm_state_writes_total", Counter, []string{"result"}, outcomes,
		"Batches of changes of the state that were written to the disk, or could not be."}
	stateChanges = Metric{"forewarm_state_changes_total", Counter, nil, nil,
		"Changes of the state that are on the disk."}
	stateWriteSeconds = Metric{"forewarm_state_write_seconds", Histogram, nil, nil,
		"Time that batches took which were written."}
	grpcCalls = Metric{"forewarm_grpc_calls_total", Counter, []string{"port", "code"}, grpcWords(),
		"gRPC calls that ended, by port (contract or admin) and code."}
	httpRequests = Metric{"forewarm_http_requests_total", Counter, []string{"code"}, []string{"2xx", "3xx", "4xx", "5xx"},
		"Requests for pages of the admin port, by class of status."}
	adminRefused = Metric{"forewarm_admin_refused_total", Counter, []string{"reason"}, []string{"unauthenticated", "permission_denied"},
		"Calls and requests of the admin port that were refused: without a valid token, or with one that does not give the right to what was asked."}
	connectionsRefused = Metric{"forewarm_connections_refused_total", Counter, []string{"port"}, []string{ContractPort.String(), AdminPort.String()},
		"Connections that were closed at once because the port had as many open as it takes."}
	linesSuppressed = Metric{"forewarm_log_lines_suppressed_total", Counter, nil, nil,
		"Lines that were not logged because their like had just been."}
	configReloads = Metric{"forewarm_config_reloads_total", Counter, []string{"result"}, outcomes,
		"Readings of the configuration while running."}
	configLastReloadOK = Metric{"forewarm_config_last_reload_ok", Gauge, nil, nil,
		"1 when the last of them went well or there was none, 0 when it failed and the old configuration is in force."}
	pushes = Metric{"forewarm_pushes_total", Counter, []string{"result"}, outcomes,
		"Pushes of these metrics, where they are pushed."}
)

func orderWords() (words []string) {
	for k := range orderKinds {
		words = append(words, dispatcher.OrderKind(k).String())
	}
	return words
}

func grpcWords() (words []string) {
	for c := range grpcCodes {
		words = append(words, codes.Code(c).String())
	}
	return words
}

// waitBounds are the core's buckets of waits, in seconds.
func waitBounds() (bounds []float64) {
	for _, b := range dispatcher.WaitBounds() {
		bounds = append(bounds, b.Seconds())
	}
	return bounds
}

var (
	functions = Metric{"forewarm_functions", Gauge, nil, nil,
		"Functions that are known, with series of their own or not."}
	ready = Metric{"forewarm_ready", Gauge, nil, nil,
		"1 while calls are taken, 0 while /readyz says why not."}
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

// savedRatio compares what was spent with what the keep-alive would have spent.
func savedRatio(r *row, v []float64) []float64 {
	if r.forecast.Spent.Reactive.Cost == 0 {
		return append(v, math.NaN())
	}
	return append(v, r.forecast.Spent.Saved())
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
